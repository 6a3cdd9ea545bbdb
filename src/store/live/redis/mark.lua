#!lua flags=allow-oom
-- Sets a mark and answers what it was. KEYS: mark. ARGV: number, milliseconds until it expires.
local before = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return before
