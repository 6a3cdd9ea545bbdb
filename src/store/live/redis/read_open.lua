#!lua flags=no-writes
-- A copy and the entry beside it, at one moment. Not a transaction: a full server refuses those, and what is in a full
-- server has to be read to be moved on. KEYS: trace, chunk.
local reply = redis.call('HMGET', KEYS[1], 'entry', 'epoch', 'status', 'watched_until')
reply[5] = redis.call('GET', KEYS[2])
return reply
