#!lua flags=allow-oom
-- Raises a mark and answers what it was. One that comes late, behind a greater one, lowers nothing.
-- KEYS: mark. ARGV: number, milliseconds until it expires.
local before = redis.call('GET', KEYS[1])
if before and tonumber(before) >= tonumber(ARGV[1]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
else
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return before
