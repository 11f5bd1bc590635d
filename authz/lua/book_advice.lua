--[[ Books what the network has already approved: no check can refuse it. On an authorization that
  is known, the amount replaces the authorized amount, the latest transmission winning.
  KEYS  1 meta  2 request record  3 journal  4 account  5 hold  6 expiry  7 learned  8 card
  ARGV  1 to 12 as in include/movement.lua and include/hold.lua
        13 amount_minor (< 2^53)  14 expire_at_ms  15 authorization code  16 transmitted_at_ms
        17 merchant amount 'minor|currency' or ''  18 single use (0|1)
        19 versions 'card,account,user,programme,company' of the limits that it counts in
        20 the user's field  21 the programme's field of meta  22 the company's  23 cash (0|1)
        last: windows
  Returns {status, outcome}: BOOKED | REPLAYED | REQUEST_ID_REUSED | STALE | AMOUNT_OVERFLOW |
          WRONG_EPOCH
                             O(log holds) ]]
local learned, card = KEYS[7], KEYS[8]
local amount, transmitted_at_ms = tonumber(ARGV[13]), tonumber(ARGV[16])

local answer = enter(ARGV[21], ARGV[22])
if answer then
  return answer
end
local a = load_account(ARGV[20])
if versions_of(a, card) ~= ARGV[19] then
  return {'STALE', ''}
end
local h = load_hold(true)
if h.stale then
  return {'STALE', ''}
end
local decided = string.find(h.flags, '[ad]') ~= nil
redis.call('HGET', learned, 'used') -- a key of another type must fail here

if transmitted_at_ms >= h.advised_at_ms then
  h.approved, h.advised_at_ms = amount, transmitted_at_ms
  h.merchant = ARGV[17]
end
h.flags = add_flag(string.gsub(h.flags, 'd', ''), 'a')
h.flags = ARGV[23] == '1' and add_flag(h.flags, 'c') or h.flags
if h.expire_at_ms == '0' then
  h.expire_at_ms = ARGV[14]
end
reckon(a, h)
if a.held >= EXACT then
  return {'AMOUNT_OVERFLOW', ''}
end
local outcome = finish('V', '0', amount, a, h, ARGV[15])
if not decided then
  h.first_pseq = text(pseq)
end
save_hold(h)
if ARGV[18] == '1' then
  redis.call('HSET', learned, 'used', '1')
end
return {'BOOKED', outcome}
