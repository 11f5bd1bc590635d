-- What every movement of money or credit shares: its first keys and arguments, the questions asked
-- before it, and the writes that end it.
--   KEYS  1 meta  2 request record  3 journal  4 account
--   ARGV  1 epoch  2 fingerprint (32 hex)  3 now_ms  4 record_ttl_ms  5 retention_ms
--         6 authorization id or ''  7 entry (header and request)
local meta, req, journal, account = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local epoch, fingerprint, now_ms, record_ttl_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local retention_ms, authorization_id, entry = ARGV[5], ARGV[6], ARGV[7]
local pseq
-- What include/hold.lua is about.
local hold, expiry
-- Versions of the rules of programme and company, if their fields of meta were given.
local rules_versions

-- Lua numbers are doubles: below 2^53 they are exact, and this prints them without an exponent.
-- The same few numbers are printed again and again.
local EXACT = 9007199254740992
local printed = {[0] = '0'}
local function text(number)
  local known = printed[number]
  if not known then
    known = string.format('%.0f', number)
    printed[number] = known
  end
  return known
end

-- Is this the epoch the caller knows, and was this request answered before? Then that is returned.
-- What decides names the fields of meta with the versions of its rules.
local function enter(...)
  local m = redis.call('HMGET', meta, 'epoch', 'pseq', ...)
  if m[1] ~= epoch then
    return {'WRONG_EPOCH', ''}
  end
  pseq = tonumber(m[2])
  rules_versions = (m[3] or '0') .. ',' .. (m[4] or '0')
  local stored = redis.call('GET', req)
  if not stored then
    return nil
  end
  if string.sub(stored, 1, 32) ~= fingerprint then
    return {'REQUEST_ID_REUSED', ''}
  end
  return {'REPLAYED', string.sub(stored, 34)}
end

-- A hash has all of these fields or none: one that lost some must not be taken for zero.
local function check_whole(key, fields, count)
  for n = 2, count do
    if (fields[n] == false) ~= (fields[1] == false) then
      error('a field is missing of ' .. key)
    end
  end
end

-- The control that declines, and what it leaves (-1: no such limit); at the end of every outcome.
local refusal = {control = '', left = '-1', left_count = '-1'}

-- What decides names the field with the version of the user's controls.
local function load_account(...)
  local a = redis.call('HMGET', account, 'limit', 'posted', 'held', 'unreleased', 'seq', 'v', ...)
  if not (a[1] and a[2] and a[3] and a[4] and a[5] and a[6]) then
    check_whole(account, a, 6)
  end
  return {
    known = a[5] ~= false, version = a[6] or '0', seq = tonumber(a[5] or '0'),
    limit = tonumber(a[1] or '0'), posted = tonumber(a[2] or '0'), held = tonumber(a[3] or '0'),
    unreleased = tonumber(a[4] or '0'), user_version = a[7] or '0',
  }
end

-- The versions of everything that a decision was made on, as they are now.
local function versions_of(a, card)
  local version = redis.call('HGET', card, 'v') or '0'
  return version .. ',' .. a.version .. ',' .. a.user_version .. ',' .. rules_versions
end

local NO_HOLD = {
  approved = 0, reversed = 0, captured = 0, held = 0, refunded = 0, flags = '', expire_at_ms = '0',
  windows = '',
}

-- The first writes: what can still fail (memory, a key of another type) fails with nothing written.
-- Of a hold that was looked up, the keys have proved their type; a new one is put among those that
-- expire first.
local function journal_entry(id, content, h)
  if h.new and h.held > 0 then
    redis.call('ZADD', expiry, h.expire_at_ms, hold)
    h.opened = true
  end
  local added = redis.pcall('XADD', journal, id, 'e', content)
  if type(added) == 'table' and added.err then
    if h.opened then
      redis.call('ZREM', expiry, hold)
    end
    error(added)
  end
end

-- Journals the movement, records its answer, writes the account.
local function finish(kind, reason, amount, a, h, code)
  h = h or NO_HOLD
  pseq = pseq + 1
  local number = text(pseq)
  if a.known then
    a.seq = a.seq + 1
  end
  local outcome = table.concat({
    '2', epoch, number, text(a.seq), kind, now_ms, authorization_id, reason, text(amount),
    text(a.limit), text(a.posted), text(a.held), text(a.unreleased), text(h.approved),
    text(h.reversed), text(h.captured), text(h.held), text(h.refunded), h.flags,
    h.expire_at_ms, code or '', refusal.control, refusal.left, refusal.left_count, h.windows,
  }, '|')
  journal_entry(number .. '-0', outcome .. '\n' .. entry, h)
  redis.call('HSET', meta, 'pseq', number)
  redis.call('SET', req, fingerprint .. '|' .. outcome, 'PX', record_ttl_ms)
  if a.known then
    redis.call('HSET', account, 'posted', text(a.posted), 'held', text(a.held),
      'unreleased', text(a.unreleased), 'seq', text(a.seq))
  end
  return outcome
end
