--[[ Exchanges a session's refresh token: each works once. An old one that is shown again was stolen
  from somebody: the session ends. Only the request that used a token up may repeat itself, for a
  while, and gets the same answer.

  KEYS  1 session hash
  ARGV  1 hash of the token that is shown  2 hash of the next one  3 request_id
        4 the next token, sealed with the one that is shown  5 now_ms  6 idle_ms: until the session
        ends unless it is used  7 repeat_ms: how long a request may repeat itself
        8 roles  9 company_id

  {status, sealed}
    REFRESHED
    REPEATED  sealed: the next token, as the first of these requests sealed it
    REUSED    the session has ended
    NO_SESSION
  O(1) ]]
local session = KEYS[1]
local now_ms = tonumber(ARGV[5])
local found = redis.call('HMGET', session, 'refresh', 'used', 'request', 'sealed', 'use_ms')
if not found[1] then
  return {'NO_SESSION'}
end
if found[1] == ARGV[1] then
  redis.call('HSET', session, 'refresh', ARGV[2], 'used', ARGV[1], 'request', ARGV[3],
    'sealed', ARGV[4], 'use_ms', ARGV[5], 'roles', ARGV[8], 'company_id', ARGV[9])
  redis.call('PEXPIRE', session, ARGV[6])
  return {'REFRESHED'}
end
if found[2] == ARGV[1] and found[3] == ARGV[3]
  and now_ms - tonumber(found[5]) <= tonumber(ARGV[7]) then
  return {'REPEATED', found[4]}
end
redis.call('DEL', session)
return {'REUSED'}
