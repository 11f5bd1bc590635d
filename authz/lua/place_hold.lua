--[[ Decides one purchase whose uncontended facts are already decided, and places the hold.
  KEYS  1 meta  2 request record  3 card  4 account  5 hold  6 learned  7 expiry  8 journal
  ARGV  1 epoch  2 fingerprint (32 hex)  3 now_ms  4 record_ttl_ms  5 card version (0: unknown)
        6 account version (0: unknown)  7 authorization id  8 decline reason (0: none)
        9 amount_minor (< 2^53)  10 partial approval (0|1)  11 single use (0|1)
        12 expire_at_ms  13 authorization code  14 principal  15 account id  16 card id
        17 network or ''
        18 entry (header and request)  19 retention_ms
  Returns {status, outcome}: PLACED | REPLAYED | REQUEST_ID_REUSED | STALE | WRONG_EPOCH
  O(log holds). Every value is checked and every key read before the first write; the journal is
  the first write, so what can fail fails with nothing written. ]]
local meta, req, card, acct = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local hold, learned, expiry, journal = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local epoch, fingerprint, now_ms, record_ttl_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local authorization_id, reason, amount = ARGV[7], ARGV[8], tonumber(ARGV[9])
local partial, single_use, expire_at_ms = ARGV[10] == '1', ARGV[11] == '1', ARGV[12]
local code, entry, retention_ms = ARGV[13], ARGV[18], ARGV[19]

local answer, pseq = enter(meta, req, epoch, fingerprint)
if answer then
  return answer
end
local card_version = redis.call('HGET', card, 'v') or '0'
local a = redis.call('HMGET', acct, 'v', 'limit', 'posted', 'held', 'unreleased', 'seq')
if card_version ~= ARGV[5] or (a[1] or '0') ~= ARGV[6] then
  return {'STALE', ''}
end
local h = redis.call('HMGET', hold, 'a', 'r', 'c', 'h', 'flags')
local used = single_use and redis.call('HGET', learned, 'used')
redis.call('ZCARD', expiry) -- a key of another type must fail here

local known = a[1] ~= false
local limit, posted = tonumber(a[2] or '0'), tonumber(a[3] or '0')
local held, unreleased = tonumber(a[4] or '0'), tonumber(a[5] or '0')
local seq = tonumber(a[6] or '0')
local existed, flags = h[5] ~= false, h[5] or ''
local approved, reversed = tonumber(h[1] or '0'), tonumber(h[2] or '0')
local captured, before = tonumber(h[3] or '0'), tonumber(h[4] or '0')
local decided = string.find(flags, '[ad]') ~= nil
local granted = 0

if reason == '0' then
  local available = limit - posted - held - unreleased
  local need = held_of(amount, reversed, captured, flags)
  if decided then
    reason = '29' -- DUPLICATE_TRANSACTION
  elseif string.find(flags, 'v', 1, true) or (reversed > 0 and reversed >= amount) then
    reason = '36' -- AUTHORIZATION_REVERSED
  elseif used then
    reason = '15' -- SINGLE_USE_ALREADY_USED
  elseif need == 0 or need <= available then
    granted = amount
  elseif partial and available > 0 then
    granted = available + reversed + captured
  else
    reason = '1' -- INSUFFICIENT_CREDIT
  end
end

local kind = reason == '0' and 'A' or 'D'
if not decided then
  approved = granted
  flags = flags .. (reason == '0' and 'a' or 'd')
end
local holding = held_of(approved, reversed, captured, flags)
if reason ~= '0' then
  code, expire_at_ms, holding = '', '0', before
end
held = held + holding - before
pseq = pseq + 1
if known then
  seq = seq + 1
end
local outcome = table.concat({
  '1', epoch, text(pseq), text(seq), kind, now_ms, authorization_id, reason, text(granted),
  text(limit), text(posted), text(held), text(unreleased),
  text(approved), text(reversed), text(captured), text(holding), flags, expire_at_ms, code,
}, '|')

-- After this point nothing can fail.
redis.call('XADD', journal, text(pseq) .. '-0', 'e', outcome .. '\n' .. entry)
redis.call('HSET', meta, 'pseq', text(pseq))
redis.call('SET', req, fingerprint .. '|' .. outcome, 'PX', record_ttl_ms)
if known then
  redis.call('HSET', acct, 'held', text(held), 'seq', text(seq))
end
if not decided then
  redis.call('HSET', hold, 'a', text(approved), 'r', text(reversed), 'c', text(captured),
    'h', text(holding), 'flags', flags, 'q', text(pseq), 'x', expire_at_ms, 'u', now_ms)
  if not existed then
    redis.call('HSET', hold, 'p', ARGV[14], 'acct', ARGV[15], 'card', ARGV[16],
      'n', ARGV[17])
  end
  if reason == '0' then
    keep(hold, expiry, holding, expire_at_ms, retention_ms)
    if single_use then
      redis.call('HSET', learned, 'used', '1')
    end
  elseif not existed then
    redis.call('PEXPIRE', hold, record_ttl_ms)
  end
end
return {'PLACED', outcome}
