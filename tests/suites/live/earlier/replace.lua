#!lua flags=allow-oom
-- Puts an entry in place of the expected one. Also on a full server, so that traces can be finished.
-- KEYS: trace. ARGV: expected entry, entry, epoch, status, milliseconds until it expires (empty: never).
local entry, epoch, status, watched = unpack(redis.call('HMGET', KEYS[1], 'entry', 'epoch', 'status', 'watched_until'))
if not entry then
    return { 'absent' }
end
if entry ~= ARGV[1] then
    return { 'changed', entry, epoch, status, watched }
end
redis.call('HSET', KEYS[1], 'entry', ARGV[2], 'epoch', ARGV[3], 'status', ARGV[4])
if ARGV[5] ~= '' then
    redis.call('PEXPIRE', KEYS[1], ARGV[5])
else
    redis.call('PERSIST', KEYS[1])
end
return { 'stored', ARGV[4], watched }
