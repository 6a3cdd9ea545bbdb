#!lua flags=allow-oom
-- The same as append.lua for the first bytes of a chunk, which are in a key of their own.
-- A server that took these has room for what is done here, even if it is full by now.
-- KEYS: trace, chunk, staged. ARGV: epoch, expected entry, size of the bytes, next entry.
local entry, epoch, status, watched = unpack(redis.call('HMGET', KEYS[1], 'entry', 'epoch', 'status', 'watched_until'))
if not entry then
    redis.call('UNLINK', KEYS[3])
    return { 'absent' }
end
if epoch ~= ARGV[1] or entry ~= ARGV[2] then
    redis.call('UNLINK', KEYS[3])
    return { 'changed', entry, epoch, status, watched }
end
local size = redis.call('STRLEN', KEYS[2])
if size ~= 0 then
    redis.call('UNLINK', KEYS[3])
    return { 'size', tostring(size) }
end
if redis.call('STRLEN', KEYS[3]) ~= tonumber(ARGV[3]) then
    return { 'unstaged' }
end
-- Nothing is changed before what may be refused was not.
redis.call('PERSIST', KEYS[3])
local moved = redis.pcall('RENAME', KEYS[3], KEYS[2])
if moved.err then
    redis.call('UNLINK', KEYS[3])
    return { 'refused', moved.err }
end
redis.call('HSET', KEYS[1], 'entry', ARGV[4])
return { 'stored', status, watched }
