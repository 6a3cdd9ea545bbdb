#!lua flags=allow-oom
-- Lets a copy go by itself. The first release counts. KEYS: chunk. ARGV: milliseconds of grace, 0 = now.
-- PTTL is -1 for a key that does not expire, -2 for none.
if redis.call('PTTL', KEYS[1]) == -1 then
    if ARGV[1] == '0' then
        redis.call('UNLINK', KEYS[1])
    else
        redis.call('PEXPIRE', KEYS[1], ARGV[1])
    end
end
return 1
