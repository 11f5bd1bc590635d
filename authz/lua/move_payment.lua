--[[ Moves a payment, or a refund, on. A payment is credited, then released or returned; a refund is
  debited, then perhaps put back: each once.
  KEYS  1 meta  2 request record  3 journal  4 account  5 payment, or refund
  ARGV  1 to 7 as in include/movement.lua
        8 kind: Y credit, Z release, W return (journaled as X once released), f debit of a refund,
        g a refund put back
        9 amount_minor of a credit or a debit (> 0, < 2^53)
        10 seed of what only the ledger still has: 'state|amount|account id', '' if nothing
        11 account id
  The payment: amount, account, state (CREDITED | RELEASED | RETURNED). Credited, it has lowered
  what is owed but may not be spent; released, it may; returned, it is as if it never came.
  The refund: the same, state (DEBITED | PUT_BACK). It takes no more than the issuer owes without
  what is unreleased, and no more than the limit leaves beside the holds.
  Returns {status, outcome}: MOVED | REPLAYED | REQUEST_ID_REUSED | ACCOUNT_NOT_FOUND |
          PAYMENT_NOT_FOUND | PAYMENT_EXISTS | PAYMENT_STATE | REFUND_NOT_FOUND | REFUND_EXISTS |
          REFUND_STATE | CREDIT_EXCEEDED | AMOUNT_OVERFLOW | WRONG_EPOCH
                             O(1) ]]
local payment, kind, account_id = KEYS[5], ARGV[8], ARGV[11]
-- What a kind makes of each state that it may find; '': of what is not there yet.
local NEXT = {
  Y = {[''] = 'CREDITED'}, Z = {CREDITED = 'RELEASED'},
  W = {CREDITED = 'RETURNED', RELEASED = 'RETURNED'},
  f = {[''] = 'DEBITED'}, g = {DEBITED = 'PUT_BACK'},
}

local answer = enter()
if answer then
  return answer
end
local a = load_account()
if not a.known then
  return {'ACCOUNT_NOT_FOUND', ''}
end
local p = redis.call('HMGET', payment, 'state', 'amount', 'acct')
local state, stored, owner = string.match(ARGV[10], '^([%u_]+)|(%d+)|(.+)$')
if p[1] then
  state, stored, owner = p[1], p[2], p[3] or owner
end
local first, after = NEXT[kind][''], NEXT[kind][state or '']
local refund = kind == 'f' or kind == 'g'
local unknown = not first and (not state or owner ~= account_id)
if refund then
  if first and state then
    return {'REFUND_EXISTS', ''}
  elseif unknown then
    return {'REFUND_NOT_FOUND', ''}
  elseif not after then
    return {'REFUND_STATE', ''}
  end
elseif first and state then
  return {'PAYMENT_EXISTS', ''}
elseif unknown then
  return {'PAYMENT_NOT_FOUND', ''}
elseif not after then
  return {'PAYMENT_STATE', ''}
end

local amount = tonumber(first and ARGV[9] or stored)
if kind == 'Y' then
  a.posted, a.unreleased = a.posted - amount, a.unreleased + amount
elseif kind == 'Z' then
  a.unreleased = a.unreleased - amount
elseif kind == 'W' then
  a.posted = a.posted + amount
  if state == 'CREDITED' then
    a.unreleased = a.unreleased - amount
  else
    kind = 'X'
  end
elseif kind == 'f' then
  a.posted = a.posted + amount
  if a.posted + a.unreleased > 0 or a.posted + a.unreleased + a.held > a.limit then
    return {'CREDIT_EXCEEDED', ''}
  end
else
  a.posted = a.posted - amount
end
if math.abs(a.posted) >= EXACT or a.unreleased >= EXACT then
  return {'AMOUNT_OVERFLOW', ''}
end
local outcome = finish(kind, '0', amount, a)
redis.call('HSET', payment, 'state', after, 'amount', text(amount), 'acct', account_id)
if after ~= 'CREDITED' and after ~= 'RELEASED' then
  redis.call('PEXPIRE', payment, retention_ms)
end
return {'MOVED', outcome}
