#!lua flags=allow-oom
-- Notes until when the trace is watched; a later time stays. KEYS: trace. ARGV: milliseconds since 1970.
local entry, watched = unpack(redis.call('HMGET', KEYS[1], 'entry', 'watched_until'))
if entry and (tonumber(watched) or 0) < tonumber(ARGV[1]) then
    redis.call('HSET', KEYS[1], 'watched_until', ARGV[1])
end
return 1
