#!lua
-- Stores bytes and the next open end, or changes nothing and says why.
-- KEYS: trace, chunk. ARGV: epoch, expected entry, expected size of the chunk, bytes, 1 if they complete it, next entry.
local entry, epoch, status, watched = unpack(redis.call('HMGET', KEYS[1], 'entry', 'epoch', 'status', 'watched_until'))
-- The trace key is never made here.
if not entry then
    return { 'absent' }
end
if epoch ~= ARGV[1] or entry ~= ARGV[2] then
    return { 'changed', entry, epoch, status, watched }
end
-- APPEND to a copy that vanished would begin a new one in the middle of the chunk.
local size = redis.call('STRLEN', KEYS[2])
if size ~= tonumber(ARGV[3]) then
    return { 'size', tostring(size) }
end
if size == 0 then
    redis.call('SET', KEYS[2], ARGV[4])
else
    redis.call('APPEND', KEYS[2], ARGV[4])
    -- The bytes that came now were not released. SET above clears an expiry as well.
    redis.call('PERSIST', KEYS[2])
    if ARGV[5] == '1' then
        -- A value built by appends takes up to twice its size; put once more in its own place it takes what it needs. Not by
        -- way of Lua, which hashes each value that it is handed, byte for byte. A user who may not keeps the room.
        redis.pcall('BITOP', 'OR', KEYS[2], KEYS[2])
    end
end
redis.call('HSET', KEYS[1], 'entry', ARGV[6])
return { 'stored', status, watched }
