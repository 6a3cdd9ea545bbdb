#!lua flags=allow-oom
-- Lets a copy go by itself. The first release counts, but for one without grace, which removes it in any case.
-- KEYS: chunk. ARGV: milliseconds of grace, 0 = now. PTTL is -1 for a key that does not expire, -2 for none.
if ARGV[1] == '0' then
    redis.call('UNLINK', KEYS[1])
elseif redis.call('PTTL', KEYS[1]) == -1 then
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return 1
