--[[ After a success: the failures that competed with it are forgotten, and what else counted the
  attempt has one less.

  KEYS  1 hash of the attempts that compete  2 hash of attempts on the user from anywhere
        3 hash of attempts from the address
        4 there is such a key if the user has signed in from there
  ARGV  1 known_ms: for how long it is known that the user has signed in from there; '0': not at all

  {status}
    FORGIVEN
  O(1) ]]
local own, anywhere, address, known = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local function take_back(attempts)
  if tonumber(redis.call('HGET', attempts, 'count') or 0) > 0 then
    redis.call('HINCRBY', attempts, 'count', -1)
  end
end

redis.call('DEL', own)
if redis.call('EXISTS', known) == 0 then
  take_back(anywhere)
  take_back(address)
end
if ARGV[1] ~= '0' then
  redis.call('SET', known, '1', 'PX', ARGV[1])
end
return {'FORGIVEN'}
