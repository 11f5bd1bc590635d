--[[ After a success: the user's failures are forgotten, and the address has one attempt less.

  KEYS  1 hash of the user's attempts  2 hash of the address' attempts

  {status}
    FORGIVEN
  O(1) ]]
local user, address = KEYS[1], KEYS[2]
redis.call('DEL', user)
if tonumber(redis.call('HGET', address, 'count') or 0) > 0 then
  redis.call('HINCRBY', address, 'count', -1)
end
return {'FORGIVEN'}
