--[[ Gives back all or part of a hold: a reversal (before, after and without its authorization), or
  its expiry.
  KEYS  1 meta  2 request record  3 journal  4 account  5 hold  6 expiry  7 recent, as in
        include/recent.lua
  ARGV  1 to 12 as in include/movement.lua and include/hold.lua
        13 kind: R reversal, E expiry  14 amount_minor (> 0, < 2^53), '' for everything
        15 create (0|1): the hold may be unknown  16 only when due (0|1); last: windows
  Returns {status, outcome}: RELEASED | REPLAYED | REQUEST_ID_REUSED | HOLD_NOT_FOUND | NOT_DUE |
          STALE | AMOUNT_OVERFLOW | WRONG_EPOCH        O(log holds) ]]
local recent, kind, amount = KEYS[7], ARGV[13], tonumber(ARGV[14])

local answer = enter()
if answer then
  return answer
end
local a, h = load_account(), load_hold(ARGV[15] == '1')
if not h then
  return {'HOLD_NOT_FOUND', ''}
end
if h.stale then
  return {'STALE', ''}
end
if ARGV[16] == '1' and (h.held == 0 or tonumber(h.expire_at_ms) > tonumber(now_ms)) then
  -- The index was wrong: put right, it does not come up in every sweep from now on.
  if h.held == 0 then
    redis.call('ZREM', expiry, hold)
  else
    redis.call('ZADD', expiry, h.expire_at_ms, hold)
  end
  return {'NOT_DUE', ''}
end

-- A full reversal closes; partial ones add up, so that the order of messages does not matter.
if kind == 'E' then
  h.flags = add_flag(h.flags, 'e')
elseif amount then
  h.reversed = h.reversed + amount
else
  h.flags, h.reversed = add_flag(h.flags, 'v'), h.reversed + h.held
end
if h.reversed >= EXACT then
  return {'AMOUNT_OVERFLOW', ''}
end
-- What was given back may be bought again at once: its place in the list stays, without merchant.
local bought = kind == 'R' and h.reversed >= h.approved and string.find(h.flags, 'b', 1, true)
  and redis.call('HGET', recent, 'bought')
h.flags = bought and string.gsub(h.flags, 'b', 'B') or h.flags
local released = reckon(a, h)
local outcome = finish(kind, '0', released, a, h)
save_hold(h)
if bought then
  local item = '(' .. authorization_id .. ',%d+,)%x*'
  redis.call('HSET', recent, 'bought', (string.gsub(bought, item, '%1')))
end
return {'RELEASED', outcome}
