--[[ Posts a clearing and releases that much of its hold. Posts whatever the state: networks oblige.
  KEYS  1 meta  2 request record  3 journal  4 account  5 hold  6 expiry  7 clearing record  8 card
  ARGV  1 to 12 as in include/movement.lua and include/hold.lua
        13 amount_minor (> 0, < 2^53)  14 final (0|1)
        15 whether the hold may be unknown (0|1); 2: it must be known, and have been approved
        16 clearing fingerprint, '' if it has no id  17 merchant amount 'minor|currency' or ''
        18 kind: C capture, P force post
        19 versions 'card,account,user,programme,company' of the limits that it counts in
        20 the user's field  21 the programme's field of meta  22 the company's; last: windows
  Returns {status, outcome}: POSTED | REPLAYED | REQUEST_ID_REUSED | CLEARING_REUSED |
          STALE | HOLD_NOT_FOUND | HOLD_CLOSED | AMOUNT_OVERFLOW | WRONG_EPOCH  O(log holds) ]]
local clearing, card = KEYS[7], KEYS[8]
local amount, clearing_fingerprint = tonumber(ARGV[13]), ARGV[16]

local answer = enter(ARGV[21], ARGV[22]) or enter_clearing(clearing, clearing_fingerprint)
if answer then
  return answer
end
local a = load_account(ARGV[20])
if versions_of(a, card) ~= ARGV[19] then
  return {'STALE', ''}
end
local h = load_hold(ARGV[15] == '1')
if not h then
  return {'HOLD_NOT_FOUND', ''}
end
if h.stale then
  return {'STALE', ''}
end
if ARGV[15] == '2' and h.approved == 0 then
  return {'HOLD_CLOSED', ''}
end
if a.posted + amount >= EXACT or h.captured + amount >= EXACT then
  return {'AMOUNT_OVERFLOW', ''}
end

a.posted, h.captured = a.posted + amount, h.captured + amount
if ARGV[14] == '1' then
  h.flags = add_flag(h.flags, 'f')
end
add_cleared(h, ARGV[17])
reckon(a, h)
local outcome = finish(ARGV[18], '0', amount, a, h)
record_clearing(clearing, clearing_fingerprint, outcome)
save_hold(h)
return {'POSTED', outcome}
