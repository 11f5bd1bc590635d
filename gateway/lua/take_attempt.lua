--[[ Counts an attempt to sign in, before it is made: those that are made side by side count, too.
  After some failures the next attempt must wait, twice as long each time.

  KEYS  1 hash of the user's attempts  2 hash of the address' attempts
  ARGV  1 now_ms  2 attempts of a user without a wait  3 attempts of an address without a wait
        4 first_ms: the first wait  5 longest_ms: the longest  6 forget_ms

  {status, wait_ms}
    ADMITTED
    TOO_SOON  wait_ms: until the next attempt; this one was not counted
  O(1) ]]
local user, address = KEYS[1], KEYS[2]
local now_ms = tonumber(ARGV[1])
local first_ms, longest_ms = tonumber(ARGV[4]), tonumber(ARGV[5])

local function look(attempts, free)
  local found = redis.call('HMGET', attempts, 'count', 'at_ms')
  local count, at_ms = tonumber(found[1] or 0), tonumber(found[2] or 0)
  local beyond = count - tonumber(free)
  if beyond < 0 then return count, 0 end
  -- Not 2^1000: that is infinite, and its product with anything, too.
  local delay_ms = math.min(first_ms * 2 ^ math.min(beyond, 30), longest_ms)
  return count, at_ms + delay_ms - now_ms
end

local function note(attempts, count)
  redis.call('HSET', attempts, 'count', string.format('%.0f', count), 'at_ms', ARGV[1])
  redis.call('PEXPIRE', attempts, ARGV[6])
end

local users, user_wait_ms = look(user, ARGV[2])
local addresses, address_wait_ms = look(address, ARGV[3])
local wait_ms = math.max(user_wait_ms, address_wait_ms)
if wait_ms > 0 then
  return {'TOO_SOON', string.format('%.0f', wait_ms)}
end
note(user, users + 1)
note(address, addresses + 1)
return {'ADMITTED'}
