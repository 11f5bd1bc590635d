--[[ Writes a new session and lists it with its user's.

  KEYS  1 session hash  2 sorted set of the user's sessions, by the time they began
  ARGV  1 session_id  2 create_ms  3 idle_ms: until it ends unless it is used  4 life_ms: until it
        ends anyway  5 fields and values of the hash, as a JSON array of strings

  {status}
    BEGUN
  O(log sessions of the user) ]]
local session, sessions = KEYS[1], KEYS[2]
redis.call('HSET', session, unpack(cjson.decode(ARGV[5])))
redis.call('PEXPIRE', session, ARGV[3])
redis.call('ZADD', sessions, ARGV[2], ARGV[1])
redis.call('PEXPIRE', sessions, ARGV[4])
return {'BEGUN'}
