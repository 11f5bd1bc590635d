--[[ Decides one purchase whose uncontended facts are already decided, and places the hold.
  KEYS  1 meta  2 request record  3 journal  4 account  5 hold  6 expiry  7 card  8 and 9 as in
        include/recent.lua
  ARGV  1 to 12 as in include/movement.lua and include/hold.lua
        13 versions 'card,account,user,programme,company' (0: absent)  14 the user's field
        15 decline reason (0: none)  16 amount_minor (< 2^53)  17 expire_at_ms
        18 authorization code  19 partial approval (0|1)  20 single use (0|1)
        21 financial (0|1): posts at once  22 merchant amount 'minor|currency' or ''
        23 '' or, if the card locks to its merchant, 'id<newline>descriptor<newline>control'
        24 the programme's field of meta  25 the company's  26 as in include/recent.lua
        27 cash (0|1); last: windows
  Returns {status, outcome}: PLACED | REPLAYED | REQUEST_ID_REUSED | STALE | AMOUNT_OVERFLOW |
          WRONG_EPOCH        O(log holds) ]]
local card = KEYS[7]
local reason, amount, code = ARGV[15], tonumber(ARGV[16]), ARGV[18]
local lock_id, lock_name, lock_control = string.match(ARGV[23], '^([^\n]*)\n([^\n]*)\n(.*)$')
local partial, single_use, financial = ARGV[19] == '1', ARGV[20] == '1', ARGV[21] == '1'

local answer = enter(ARGV[24], ARGV[25])
if answer then
  return answer
end
local a = load_account(ARGV[14])
if versions_of(a, card) ~= ARGV[13] then
  return {'STALE', ''}
end
local h = load_hold(true)
if h.stale then
  return {'STALE', ''}
end
local decided = string.find(h.flags, '[ad]') ~= nil
local known = (single_use or lock_id or abroad ~= '')
  and redis.call('HMGET', learned, 'used', 'merchant_id', 'merchant_name', 'abroad') or {}
local lately = (testing ~= '' or repetition ~= '')
  and redis.call('HMGET', recent, 'declines', 'bought') or {}
local used, lock_now = single_use and known[1], lock_id and not known[2] and not known[3]
local tester, noted, foreign, granted = lately[1] and tested_by(lately[1]), nil, nil, 0

if reason == '0' then
  local available = a.limit - a.posted - a.held - a.unreleased
  -- What is already given back or captured of this very purchase needs no credit again.
  local covered = financial and 0 or h.reversed + h.captured
  local rest, tightest, exhausted = math.huge, nil, nil
  if counts then
    rest, tightest, exhausted = look_at_limits()
  end
  local room = math.min(available, rest)
  local need = financial and amount or held_of(amount, h.reversed, h.captured, h.flags)
  local repeater = lately[2] and not decided and amount > 0 and repeated_by(lately[2], ARGV[16])
  if abroad ~= '' then
    foreign, noted = abroad_by(known[4])
  end
  if decided then
    reason = '29' -- DUPLICATE_TRANSACTION
  elseif repeater then
    reason = suspect('29', repeater)
  elseif string.find(h.flags, 'v', 1, true) or (h.reversed > 0 and h.reversed >= amount) then
    reason = '36' -- AUTHORIZATION_REVERSED
  elseif used then
    reason = '15' -- SINGLE_USE_ALREADY_USED
  elseif tester then
    reason = suspect('27', tester) -- SUSPECTED_FRAUD
  elseif lock_id and is_elsewhere(known[2] or '', known[3] or '', lock_id, lock_name) then
    reason, refusal.control = '24', lock_control -- MERCHANT_NOT_ALLOWED
  elseif foreign then
    reason = suspect('27', foreign)
  elseif need > 0 and h.counted == 0 and exhausted then
    reason = refuse('22', exhausted) -- VELOCITY_COUNT_EXCEEDED
  elseif need == 0 or need <= room then
    granted = amount
  elseif partial and room > 0 then
    granted = room + covered
  elseif need > rest then
    reason = refuse('21', tightest) -- SPEND_LIMIT_EXCEEDED
  else
    reason = '1' -- INSUFFICIENT_CREDIT
  end
elseif tester and not decided and is_guess(reason) then
  reason = suspect('27', tester) -- right and wrong details are answered alike
end
if granted >= EXACT or a.posted + granted >= EXACT or a.held + granted >= EXACT then
  return {'AMOUNT_OVERFLOW', ''}
end

local approved, bought = reason == '0', repetition ~= '' and granted > 0
local guess = testing ~= '' and not decided and is_guess(reason)
noted = reason == '27' and refusal.control == foreign and noted
lock_now = lock_now and granted > 0
if approved then
  h.approved, h.flags, h.expire_at_ms = granted, add_flag(h.flags, 'a'), ARGV[17]
  h.merchant = ARGV[22]
  h.flags = ARGV[27] == '1' and add_flag(h.flags, 'c') or h.flags
  h.flags = lock_now and add_flag(h.flags, 'm') or h.flags
  h.flags = bought and add_flag(h.flags, 'b') or h.flags
  if financial then
    a.posted, h.captured, h.flags = a.posted + granted, h.captured + granted, add_flag(h.flags, 'f')
  end
  reckon(a, h)
elseif not decided then
  h.flags = add_flag(h.flags, 'd') .. (guess and 'g' or '') .. (noted and 'n' or '')
end
local kind = approved and (financial and 'F' or 'A') or 'D'
local shown = approved and h or setmetatable({expire_at_ms = '0'}, {__index = h})
local outcome = finish(kind, reason, granted, a, shown, approved and code or '')
if not decided then
  h.first_pseq = text(pseq)
end
save_hold(h, not approved and not h.existed and record_ttl_ms or nil)
if granted > 0 and single_use then -- verifying an account or asking for its balance is no use
  redis.call('HSET', learned, 'used', '1')
end
if lock_now then
  redis.call('HSET', learned, 'merchant_id', lock_id, 'merchant_name', lock_name)
end
if guess then
  remember('declines', now_ms, lately[1], DECLINES_MAX)
end
if bought then
  local where = string.match(repetition, '%x+$')
  local item = table.concat({authorization_id, ARGV[16], where, now_ms}, ',')
  remember('bought', item, lately[2], BOUGHT_MAX)
end
if noted then
  redis.call('HSET', learned, 'abroad', remembered(noted, known[4], ABROAD_MAX, math.huge))
end
return {'PLACED', outcome}
