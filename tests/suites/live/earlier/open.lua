#!lua
-- Makes a trace key, unless there is one. A full server refuses it.
-- KEYS: trace. ARGV: entry, epoch, status, milliseconds until it expires (empty: never).
local entry, epoch, status, watched = unpack(redis.call('HMGET', KEYS[1], 'entry', 'epoch', 'status', 'watched_until'))
if entry then
    return { 'changed', entry, epoch, status, watched }
end
redis.call('HSET', KEYS[1], 'entry', ARGV[1], 'epoch', ARGV[2], 'status', ARGV[3], 'watched_until', '0')
if ARGV[4] ~= '' then
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return { 'stored', ARGV[3], '0' }
