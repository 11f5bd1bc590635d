--[[ Takes over the rules of a programme or company in one partition, if their version is higher
  than what is here.
  KEYS  1 meta  2 rules  3 journal
  ARGV  1 epoch  2 now_ms  3 version  4 meta's field of the version
        5 rules, '' if there are none  6 entry (header and request)
  Returns {status, version}: APPLIED | NOT_NEWER | WRONG_EPOCH  O(1) ]]
local meta, rules, journal = KEYS[1], KEYS[2], KEYS[3]
local epoch, now_ms, version, field = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local function text(number)
  return string.format('%.0f', number)
end

local m = redis.call('HMGET', meta, 'epoch', 'pseq', field)
if m[1] ~= epoch then
  return {'WRONG_EPOCH', ''}
end
if m[3] and tonumber(m[3]) >= tonumber(version) then
  return {'NOT_NEWER', m[3]}
end
redis.call('HGET', rules, 'v') -- a key of another type must fail here, before the first write
local pseq = tonumber(m[2]) + 1
local outcome = table.concat({
  '2', epoch, text(pseq), '0', 'S', now_ms, '', '0', '0',
  '0', '0', '0', '0', '0', '0', '0', '0', '0', '', '0', '',
  '', '-1', '-1', '',
}, '|')

-- After this point nothing can fail.
redis.call('XADD', journal, text(pseq) .. '-0', 'e', outcome .. '\n' .. ARGV[6])
redis.call('HSET', meta, 'pseq', text(pseq), field, version)
redis.call('HSET', rules, 'v', version, 'rules', ARGV[5])
return {'APPLIED', version}
