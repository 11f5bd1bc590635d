--[[ Moves a payment on: credited, then released or returned, each once.
  KEYS  1 meta  2 request record  3 journal  4 account  5 payment
  ARGV  1 to 7 as in include/movement.lua
        8 kind: Y credit, Z release, W return (journaled as X once released)
        9 amount_minor of a credit (> 0, < 2^53)
        10 seed of a payment that only the ledger still has: 'state|amount|account id', '' if none
        11 account id
  The payment: amount, account, state (CREDITED | RELEASED | RETURNED). Credited, it has lowered
  what is owed but may not be spent; released, it may; returned, it is as if it never came.
  Returns {status, outcome}: MOVED | REPLAYED | REQUEST_ID_REUSED | ACCOUNT_NOT_FOUND |
          PAYMENT_NOT_FOUND | PAYMENT_EXISTS | PAYMENT_STATE | AMOUNT_OVERFLOW | WRONG_EPOCH
                             O(1) ]]
local payment, kind, account_id = KEYS[5], ARGV[8], ARGV[11]

local answer = enter()
if answer then
  return answer
end
local a = load_account()
if not a.known then
  return {'ACCOUNT_NOT_FOUND', ''}
end
local p = redis.call('HMGET', payment, 'state', 'amount', 'acct')
local state, stored, owner = string.match(ARGV[10], '^(%u+)|(%d+)|(.+)$')
if p[1] then
  state, stored, owner = p[1], p[2], p[3] or owner
end
if kind == 'Y' and state then
  return {'PAYMENT_EXISTS', ''}
elseif kind ~= 'Y' and (not state or owner ~= account_id) then
  return {'PAYMENT_NOT_FOUND', ''}
elseif state == 'RETURNED' or (kind == 'Z' and state ~= 'CREDITED') then
  return {'PAYMENT_STATE', ''}
end

local amount = tonumber(kind == 'Y' and ARGV[9] or stored)
if kind == 'Y' then
  a.posted, a.unreleased, state = a.posted - amount, a.unreleased + amount, 'CREDITED'
elseif kind == 'Z' then
  a.unreleased, state = a.unreleased - amount, 'RELEASED'
else
  a.posted = a.posted + amount
  if state == 'CREDITED' then
    a.unreleased = a.unreleased - amount
  else
    kind = 'X'
  end
  state = 'RETURNED'
end
if math.abs(a.posted) >= EXACT or a.unreleased >= EXACT then
  return {'AMOUNT_OVERFLOW', ''}
end
local outcome = finish(kind, '0', amount, a)
redis.call('HSET', payment, 'state', state, 'amount', text(amount), 'acct', account_id)
if state == 'RETURNED' then
  redis.call('PEXPIRE', payment, retention_ms)
end
return {'MOVED', outcome}
