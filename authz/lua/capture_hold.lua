--[[ Posts a clearing and releases that much of its hold. Posts whatever the state: networks oblige.
  KEYS  1 meta  2 request record  3 account  4 hold  5 clearing record  6 expiry  7 journal
  ARGV  1 epoch  2 fingerprint (32 hex)  3 now_ms  4 record_ttl_ms  5 authorization id
        6 amount_minor (> 0, < 2^53)  7 final (0|1)  8 clearing fingerprint, '' if it has no id
        9 seed: 'a|r|c|h|flags|q|x' of a hold that only the ledger still has, '' if none
        10 create (0|1): the hold may be unknown  11 principal  12 account id  13 card id
        14 network or ''
        15 entry (header and request)  16 retention_ms
  Returns {status, outcome}: POSTED | REPLAYED | REQUEST_ID_REUSED | CLEARING_REUSED |
          HOLD_NOT_FOUND | AMOUNT_OVERFLOW | WRONG_EPOCH        O(log holds) ]]
local meta, req, acct, hold = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local clearing, expiry, journal = KEYS[5], KEYS[6], KEYS[7]
local epoch, fingerprint, now_ms, record_ttl_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local authorization_id, amount, clearing_fingerprint = ARGV[5], tonumber(ARGV[6]), ARGV[8]
local retention_ms = ARGV[16]

local answer, pseq = enter(meta, req, epoch, fingerprint)
if answer then
  return answer
end
if clearing_fingerprint ~= '' then
  local stored = redis.call('GET', clearing)
  if stored then
    if string.sub(stored, 1, 32) ~= clearing_fingerprint then
      return {'CLEARING_REUSED', ''}
    end
    -- The same clearing under another request id: this id is taken from now on, too.
    redis.call('SET', req, fingerprint .. string.sub(stored, 33), 'PX', record_ttl_ms)
    return {'REPLAYED', string.sub(stored, 34)}
  end
end
local h, existed = load_hold(hold, ARGV[9], ARGV[10] == '1')
if not h then
  return {'HOLD_NOT_FOUND', ''}
end
local a = redis.call('HMGET', acct, 'limit', 'posted', 'held', 'unreleased', 'seq')
redis.call('ZCARD', expiry) -- a key of another type must fail here

local posted, held = tonumber(a[2]) + amount, tonumber(a[3])
local captured, flags = h.captured + amount, h.flags
if ARGV[7] == '1' then
  flags = add_flag(flags, 'f')
end
if posted >= EXACT or captured >= EXACT then
  return {'AMOUNT_OVERFLOW', ''}
end
local holding = held_of(h.approved, h.reversed, captured, flags)
held = held + holding - h.held
pseq = pseq + 1
local seq = tonumber(a[5]) + 1
local outcome = table.concat({
  '1', epoch, text(pseq), text(seq), 'C', now_ms, authorization_id, '0', text(amount),
  a[1], text(posted), text(held), a[4],
  text(h.approved), text(h.reversed), text(captured), text(holding), flags, h.expire_at_ms, '',
}, '|')

-- After this point nothing can fail.
redis.call('XADD', journal, text(pseq) .. '-0', 'e', outcome .. '\n' .. ARGV[15])
redis.call('HSET', meta, 'pseq', text(pseq))
redis.call('SET', req, fingerprint .. '|' .. outcome, 'PX', record_ttl_ms)
if clearing_fingerprint ~= '' then
  redis.call('SET', clearing, clearing_fingerprint .. '|' .. outcome, 'PX', retention_ms)
end
redis.call('HSET', acct, 'posted', text(posted), 'held', text(held), 'seq', text(seq))
save_hold(hold, existed, h, captured, h.reversed, holding, flags, now_ms,
  {ARGV[11], ARGV[12], ARGV[13], ARGV[14]})
keep(hold, expiry, holding, h.expire_at_ms, retention_ms)
return {'POSTED', outcome}
