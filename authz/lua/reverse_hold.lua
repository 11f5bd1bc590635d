--[[ Gives back all or part of a hold. Accepted before, after and without its authorization.
  KEYS  1 meta  2 request record  3 account  4 hold  5 expiry  6 journal
  ARGV  1 epoch  2 fingerprint (32 hex)  3 now_ms  4 record_ttl_ms  5 authorization id
        6 amount_minor (> 0, < 2^53), '' for everything
        7 seed: 'a|r|c|h|flags|q|x' of a hold that only the ledger still has, '' if none
        8 create (0|1): the hold may be unknown  9 principal  10 account id  11 card id
        12 network or ''
        13 entry (header and request)  14 retention_ms
  Returns {status, outcome}: REVERSED | REPLAYED | REQUEST_ID_REUSED | HOLD_NOT_FOUND |
          AMOUNT_OVERFLOW | WRONG_EPOCH        O(log holds) ]]
local meta, req, acct, hold, expiry, journal = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local epoch, fingerprint, now_ms, record_ttl_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local authorization_id, retention_ms = ARGV[5], ARGV[14]

local answer, pseq = enter(meta, req, epoch, fingerprint)
if answer then
  return answer
end
local h, existed = load_hold(hold, ARGV[7], ARGV[8] == '1')
if not h then
  return {'HOLD_NOT_FOUND', ''}
end
local a = redis.call('HMGET', acct, 'limit', 'posted', 'held', 'unreleased', 'seq')
redis.call('ZCARD', expiry) -- a key of another type must fail here

-- A full reversal closes; a partial one adds up, so that the order of messages does not matter.
local reversed, flags = h.reversed, h.flags
if ARGV[6] == '' then
  flags = add_flag(flags, 'v')
  reversed = reversed + h.held
else
  reversed = reversed + tonumber(ARGV[6])
end
if reversed >= EXACT then
  return {'AMOUNT_OVERFLOW', ''}
end
local holding = held_of(h.approved, reversed, h.captured, flags)
local released = h.held - holding
local known = a[5] ~= false
local held, seq = tonumber(a[3] or '0') - released, tonumber(a[5] or '0')
pseq = pseq + 1
if known then
  seq = seq + 1
end
local outcome = table.concat({
  '1', epoch, text(pseq), text(seq), 'R', now_ms, authorization_id, '0', text(released),
  a[1] or '0', a[2] or '0', text(held), a[4] or '0',
  text(h.approved), text(reversed), text(h.captured), text(holding), flags, h.expire_at_ms, '',
}, '|')

-- After this point nothing can fail.
redis.call('XADD', journal, text(pseq) .. '-0', 'e', outcome .. '\n' .. ARGV[13])
redis.call('HSET', meta, 'pseq', text(pseq))
redis.call('SET', req, fingerprint .. '|' .. outcome, 'PX', record_ttl_ms)
if known then
  redis.call('HSET', acct, 'held', text(held), 'seq', text(seq))
end
save_hold(hold, existed, h, h.captured, reversed, holding, flags, now_ms,
  {ARGV[9], ARGV[10], ARGV[11], ARGV[12]})
keep(hold, expiry, holding, h.expire_at_ms, retention_ms)
return {'REVERSED', outcome}
