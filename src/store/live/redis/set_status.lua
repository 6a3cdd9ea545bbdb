#!lua flags=allow-oom
-- Sets the status of a trace that is not over. KEYS: trace. ARGV: status, how the entry of a tombstone begins.
local entry = redis.call('HGET', KEYS[1], 'entry')
if not entry or string.sub(entry, 1, #ARGV[2]) == ARGV[2] then
    return 0
end
redis.call('HSET', KEYS[1], 'status', ARGV[1])
return 1
