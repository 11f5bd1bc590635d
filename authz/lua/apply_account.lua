--[[ Takes over an account's configuration, if its version is higher than what is here.
  KEYS  1 meta  2 account  3 journal
  ARGV  1 epoch  2 now_ms  3 version  4 state (1 open, 2 closing, 3 closed,
        4 suspended, 5 delinquent)  5 currency code
        6 credit limit_minor (< 2^53)  7 owner id  8 programme id  9 parent account id or ''
        10 entry (header and request)  11 spend controls, '' if there are none
  Returns {status, version}: APPLIED | NOT_NEWER | IN_USE | CURRENCY_CHANGED | WRONG_EPOCH  O(1) ]]
local meta, acct, journal = KEYS[1], KEYS[2], KEYS[3]
local epoch, now_ms, version, state, currency = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local limit = ARGV[6]

local function text(number)
  return string.format('%.0f', number)
end

local m = redis.call('HMGET', meta, 'epoch', 'pseq')
if m[1] ~= epoch then
  return {'WRONG_EPOCH', ''}
end
local a = redis.call('HMGET', acct, 'v', 'cur', 'posted', 'held', 'unreleased', 'seq')
if a[1] and tonumber(a[1]) >= tonumber(version) then
  return {'NOT_NEWER', a[1]}
end
if a[2] and a[2] ~= currency then
  return {'CURRENCY_CHANGED', a[1]}
end
local posted, held, unreleased = a[3] or '0', a[4] or '0', a[5] or '0'
if state == '3' and (posted ~= '0' or held ~= '0' or unreleased ~= '0') then
  return {'IN_USE', a[1] or '0'}
end
local pseq, seq = tonumber(m[2]) + 1, tonumber(a[6] or '0') + 1
local outcome = table.concat({
  '2', epoch, text(pseq), text(seq), 'L', now_ms, '', '0', '0',
  limit, posted, held, unreleased, '0', '0', '0', '0', '0', '', '0', '',
  '', '-1', '-1', '',
}, '|')

-- After this point nothing can fail.
redis.call('XADD', journal, text(pseq) .. '-0', 'e', outcome .. '\n' .. ARGV[10])
redis.call('HSET', meta, 'pseq', text(pseq))
redis.call('HSET', acct, 'v', version, 'state', state, 'cur', currency, 'limit', limit,
  'posted', posted, 'held', held, 'unreleased', unreleased, 'seq', text(seq),
  'own', ARGV[7], 'prog', ARGV[8], 'par', ARGV[9])
if ARGV[11] ~= '' then
  redis.call('HSET', acct, 'ctl', ARGV[11])
else
  redis.call('HDEL', acct, 'ctl')
end
return {'APPLIED', version}
