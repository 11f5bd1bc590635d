--[[ Counts an attempt to sign in, before it is made: those that are made side by side count, too.
  After some failures the next attempt must wait, twice as long each time. Where a user has signed
  in before, only attempts on it from there count: nobody elsewhere can use them up.

  KEYS  1 hash of the attempts that compete: on the user, from this address if told apart
        2 hash of attempts on the user from anywhere  3 hash of attempts from the address
        4 there is such a key if the user has signed in from there
  ARGV  1 now_ms  2 attempts that compete without a wait  3 those from anywhere without
        4 those from an address without
        5 first_ms: the first wait  6 longest_ms: the longest  7 forget_ms

  {status, wait_ms}
    ADMITTED
    TOO_SOON  wait_ms: until the next attempt; this one was not counted
  O(1) ]]
local own, anywhere, address, known = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now_ms = tonumber(ARGV[1])
local first_ms, longest_ms, forget_ms = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

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
  redis.call('PEXPIRE', attempts, ARGV[7])
end

local owns, wait_ms = look(own, ARGV[2])
local everywhere, addresses, since_ms
local is_known = redis.call('EXISTS', known) == 1
if not is_known then
  -- Those from anywhere are forgotten some time after the first of them, or one who goes on
  -- guessing would in the end keep everybody waiting; the others, by expiry, after the last.
  since_ms = tonumber(redis.call('HGET', anywhere, 'since_ms') or 0)
  if now_ms - since_ms >= forget_ms then
    redis.call('DEL', anywhere)
    since_ms = now_ms
  end
  local everywhere_wait_ms, address_wait_ms
  everywhere, everywhere_wait_ms = look(anywhere, ARGV[3])
  addresses, address_wait_ms = look(address, ARGV[4])
  wait_ms = math.max(wait_ms, everywhere_wait_ms, address_wait_ms)
end
if wait_ms > 0 then
  return {'TOO_SOON', string.format('%.0f', wait_ms)}
end
note(own, owns + 1)
if not is_known then
  note(anywhere, everywhere + 1)
  redis.call('HSET', anywhere, 'since_ms', string.format('%.0f', since_ms))
  note(address, addresses + 1)
end
return {'ADMITTED'}
