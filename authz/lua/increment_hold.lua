--[[ Reserves more on an approved authorization, if the credit covers it: all of it or nothing.
  KEYS  1 meta  2 request record  3 journal  4 account  5 hold  6 expiry  7 card
  ARGV  1 to 12 as in include/movement.lua and include/hold.lua
        13 versions 'card,account,user,programme,company' (0: absent)  14 the user's field
        15 decline reason (0: none)
        16 amount_minor (> 0, < 2^53)  17 most in all and its control 'minor,control', '' if none;
        18 the programme's field of meta  19 the company's; last: windows
  Returns {status, outcome}: INCREMENTED | REPLAYED | REQUEST_ID_REUSED | STALE | HOLD_NOT_FOUND |
          HOLD_CLOSED | AMOUNT_OVERFLOW | WRONG_EPOCH        O(log holds) ]]
local card, reason, amount = KEYS[7], ARGV[15], tonumber(ARGV[16])

local answer = enter(ARGV[18], ARGV[19])
if answer then
  return answer
end
local a = load_account(ARGV[14])
if versions_of(a, card) ~= ARGV[13] then
  return {'STALE', ''}
end
local h = load_hold(false)
if not h then
  return {'HOLD_NOT_FOUND', ''}
end
if h.stale then
  return {'STALE', ''}
end
-- One that is due is as good as expired: the sweeper would take back at once what this reserves.
local due = tonumber(h.expire_at_ms) <= tonumber(now_ms)
if due or not string.find(h.flags, 'a', 1, true) or string.find(h.flags, '[fve]') then
  return {'HOLD_CLOSED', ''}
end
-- Captures may have exceeded the hold: the increment reserves its whole amount all the same.
local base = math.max(h.approved, h.reversed + h.captured)
if base + amount >= EXACT or a.held + amount >= EXACT then
  return {'AMOUNT_OVERFLOW', ''}
end
local granted = 0
if reason == '0' then
  local rest, tightest = math.huge, nil
  if counts then
    rest, tightest = look_at_limits()
  end
  local most, control = string.match(ARGV[17], '^(%d+),(.+)$')
  if most and base + amount > tonumber(most) then
    reason, refusal.control, refusal.left = '20', control, most -- PER_TRANSACTION_LIMIT
  elseif amount > rest then
    reason = refuse('21', tightest) -- SPEND_LIMIT_EXCEEDED
  elseif amount <= a.limit - a.posted - a.held - a.unreleased then
    granted = amount
  else
    reason = '1' -- INSUFFICIENT_CREDIT
  end
end
if granted > 0 then
  h.approved = base + granted
  h.merchant = '' -- the merchant's amount is no longer known
  reckon(a, h)
end
local outcome = finish(granted > 0 and 'I' or 'J', reason, granted, a, h)
save_hold(h)
return {'INCREMENTED', outcome}
