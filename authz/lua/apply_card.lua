--[[ Takes over a card's configuration, if its version is higher than what is here.
  KEYS  1 meta  2 card  3 account  4 journal  5 learned  6 recent
  ARGV  1 epoch  2 now_ms  3 version  4 state (1 inactive, 2 active, 3 frozen, 4 closed,
        5 lost, 6 stolen, 7 active, but its holder is suspended)
        5 account id  6 root card id  7 expire_at_ms (first moment it is not valid)
        8 single use (0|1)  9 entry (header and request)
        10 spend controls, '' if there are none  11 user id or ''
        12 ms up to which suspicions are forgotten, '' if none are
  Returns {status, version}: APPLIED | NOT_NEWER | ACCOUNT_NOT_APPLIED | WRONG_EPOCH  O(1) ]]
local meta, card, acct, journal = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local learned, recent = KEYS[5], KEYS[6]
local epoch, now_ms, version = ARGV[1], ARGV[2], ARGV[3]

local function text(number)
  return string.format('%.0f', number)
end

local m = redis.call('HMGET', meta, 'epoch', 'pseq')
if m[1] ~= epoch then
  return {'WRONG_EPOCH', ''}
end
local current = redis.call('HGET', card, 'v')
if current and tonumber(current) >= tonumber(version) then
  return {'NOT_NEWER', current}
end
local a = redis.call('HMGET', acct, 'seq', 'limit', 'posted', 'held', 'unreleased')
if not a[1] then
  return {'ACCOUNT_NOT_APPLIED', '0'}
end
-- What checks against fraud remember, read (and its type proved) before the first write.
local known = ARGV[12] ~= '' and
  {redis.call('HGET', learned, 'abroad'), redis.call('HGET', recent, 'declines')} or {}
local pseq, seq = tonumber(m[2]) + 1, tonumber(a[1]) + 1
local outcome = table.concat({
  '2', epoch, text(pseq), text(seq), 'K', now_ms, '', '0', '0',
  a[2], a[3], a[4], a[5], '0', '0', '0', '0', '0', '', '0', '',
  '', '-1', '-1', '',
}, '|')

-- After this point nothing can fail.
redis.call('XADD', journal, text(pseq) .. '-0', 'e', outcome .. '\n' .. ARGV[9])
redis.call('HSET', meta, 'pseq', text(pseq))
redis.call('HSET', acct, 'seq', text(seq))
redis.call('HSET', card, 'v', version, 'state', ARGV[4], 'acct', ARGV[5], 'root', ARGV[6],
  'exp', ARGV[7], 'su', ARGV[8], 'user', ARGV[11])
if ARGV[10] ~= '' then
  redis.call('HSET', card, 'ctl', ARGV[10])
else
  redis.call('HDEL', card, 'ctl')
end
-- As authz/fraud.py forgets: declines go, countries are known for long.
local declines = {}
for ms in string.gmatch(known[2] or '', '%d+') do
  declines[#declines + 1] = tonumber(ms) > tonumber(ARGV[12]) and ms or nil
end
if #declines > 0 then
  redis.call('HSET', recent, 'declines', table.concat(declines, ';'))
elseif known[2] then
  redis.call('HDEL', recent, 'declines')
end
if known[1] then
  redis.call('HSET', learned, 'abroad', (string.gsub(known[1], '(%u%u),(%d+)', function(country, ms)
    return tonumber(ms) <= tonumber(ARGV[12]) and country .. ',0' or nil
  end)))
end
return {'APPLIED', version}
