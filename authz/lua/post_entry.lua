--[[ Posts a debit or credit that is no clearing of a hold: fee, interest, adjustment, refund.
  KEYS  1 meta  2 request record  3 journal  4 account  5 hold  6 expiry  7 clearing record
  ARGV  1 to 12 as in include/movement.lua and include/hold.lua
        13 kind, one letter of authz/outcome.py  14 amount_minor (> 0, < 2^53)
        15 sign: 1 debit, -1 credit, 0 between accounts of ours
        16 linked (0|1|2): the hold counts it as refunded; 2: there must be one, and what is
        refunded of it stays between nothing and what was captured
        17 clearing fingerprint, '' if it has no id
  Returns {status, outcome}: POSTED | REPLAYED | REQUEST_ID_REUSED | CLEARING_REUSED |
          ACCOUNT_NOT_FOUND | HOLD_NOT_FOUND | REFUND_EXCEEDED | AMOUNT_OVERFLOW | WRONG_EPOCH
          O(log holds) ]]
local clearing, clearing_fingerprint, amount = KEYS[7], ARGV[17], tonumber(ARGV[14])
local change = amount * tonumber(ARGV[15])

local answer = enter() or enter_clearing(clearing, clearing_fingerprint)
if answer then
  return answer
end
local a = load_account()
if not a.known then
  return {'ACCOUNT_NOT_FOUND', ''}
end
local bounded = ARGV[16] == '2'
local h = ARGV[16] ~= '0' and load_hold(not bounded) or nil
if bounded then
  if not h then
    return {'HOLD_NOT_FOUND', ''}
  end
  local refunded = h.refunded - change
  if refunded < 0 or refunded > h.captured then
    return {'REFUND_EXCEEDED', ''}
  end
end
if math.abs(a.posted + change) >= EXACT or h and math.abs(h.refunded - change) >= EXACT then
  return {'AMOUNT_OVERFLOW', ''}
end

a.posted = a.posted + change
if h then
  h.refunded = h.refunded - change
end
local outcome = finish(ARGV[13], '0', amount, a, h)
record_clearing(clearing, clearing_fingerprint, outcome)
if h then
  save_hold(h)
end
return {'POSTED', outcome}
