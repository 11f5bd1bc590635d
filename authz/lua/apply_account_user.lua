--[[ Takes over what a user may use an account for, if its version is higher than what is here.
  KEYS  1 meta  2 account user  3 account  4 journal
  ARGV  1 epoch  2 now_ms  3 version  4 the account's field of the version
        5 spend controls, '' if there are none  6 entry (header and request)
  Returns {status, version}: APPLIED | NOT_NEWER | ACCOUNT_NOT_APPLIED | WRONG_EPOCH  O(1) ]]
local meta, user, acct, journal = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local epoch, now_ms, version, field = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local function text(number)
  return string.format('%.0f', number)
end

local m = redis.call('HMGET', meta, 'epoch', 'pseq')
if m[1] ~= epoch then
  return {'WRONG_EPOCH', ''}
end
local a = redis.call('HMGET', acct, 'seq', 'limit', 'posted', 'held', 'unreleased', field)
if not a[1] then
  return {'ACCOUNT_NOT_APPLIED', '0'}
end
if a[6] and tonumber(a[6]) >= tonumber(version) then
  return {'NOT_NEWER', a[6]}
end
redis.call('HGET', user, 'v') -- a key of another type must fail here, before the first write
local pseq, seq = tonumber(m[2]) + 1, tonumber(a[1]) + 1
local outcome = table.concat({
  '2', epoch, text(pseq), text(seq), 'U', now_ms, '', '0', '0',
  a[2], a[3], a[4], a[5], '0', '0', '0', '0', '0', '', '0', '',
  '', '-1', '-1', '',
}, '|')

-- After this point nothing can fail.
redis.call('XADD', journal, text(pseq) .. '-0', 'e', outcome .. '\n' .. ARGV[6])
redis.call('HSET', meta, 'pseq', text(pseq))
redis.call('HSET', acct, 'seq', text(seq), field, version)
redis.call('HSET', user, 'v', version, 'ctl', ARGV[5])
return {'APPLIED', version}
