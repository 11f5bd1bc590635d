-- The hold arithmetic of authz/hold.py: H = 0 if closed, else max(A - R - C, 0).
-- Flags: a approved, d declined, f final capture, v fully reversed, e expired; c cash: what clears
-- it names no merchant, and posts as cash; and what the card remembers of it: m its only merchant,
-- b bought (B: and given back), g a guess, n a new country.
--   KEYS  5 hold  6 expiry
--   ARGV  8 principal  9 account id  10 card id  11 network or ''
--         12 seed of a hold that only the ledger still has: 'a|r|c|h|b|flags|q|x|t|m|mc|w',
--         m and mc with ':' for '|'; '' if none; 'new': the authorization's id was made for this
--         call, and nobody knows it yet
hold, expiry = KEYS[5], KEYS[6]

local function held_of(approved, reversed, captured, flags)
  if string.find(flags, '[fve]') then
    return 0
  end
  return math.max(approved - reversed - captured, 0)
end

local function add_flag(flags, flag)
  return string.find(flags, flag, 1, true) and flags or flags .. flag
end

-- From its key, else from what the ledger knew of it, else (if a message may come before its
-- authorization) a new one; nil if there is none.
local function load_hold(create)
  if ARGV[12] == 'new' then
    if counts then
      load_windows()
    end
    return {
      existed = false, approved = 0, reversed = 0, captured = 0, held = 0, refunded = 0, flags = '',
      first_pseq = '0', expire_at_ms = '0', advised_at_ms = 0, merchant = '', windows = '',
      stale = false, counted = 0, merchant_cleared = '', merchant_known = false, new = true,
    }
  end
  redis.call('ZCARD', expiry) -- a key of another type must fail here, before the first write
  local f = redis.call('HMGET', hold, 'a', 'r', 'c', 'h', 'b', 'flags', 'q', 'x', 't', 'm', 'mc',
    'w')
  check_whole(hold, f, 8)
  local existed = f[6] ~= false
  if not existed then
    f = {}
    for field in string.gmatch(ARGV[12] ~= '' and ARGV[12] .. '|' or '', '([^|]*)|') do
      f[#f + 1] = field
    end
    if #f == 0 and not create then
      return nil
    end
    if (f[10] or '') .. (f[11] or '') == '' then
      f[10], f[11] = nil, nil
    else
      f[10], f[11] = (string.gsub(f[10], ':', '|')), (string.gsub(f[11], ':', '|'))
    end
  end
  if counts then
    load_windows()
  end
  local at = f[12] or ''
  return {
    existed = existed, approved = tonumber(f[1] or '0'), reversed = tonumber(f[2] or '0'),
    captured = tonumber(f[3] or '0'), held = tonumber(f[4] or '0'),
    refunded = tonumber(f[5] or '0'), flags = f[6] or '', first_pseq = f[7] or '0',
    expire_at_ms = f[8] or '0', advised_at_ms = tonumber(f[9] or '0'), merchant = f[10] or '',
    windows = at, stale = at ~= known_windows,
    counted = tonumber(f[3] or '0') + tonumber(f[4] or '0'),
    merchant_cleared = f[11] or '', merchant_known = (f[10] or false) ~= false,
  }
end

-- A hold also closes when the merchant's amount is fully cleared: what is left is exchange rate.
-- Asked is 'minor|currency', cleared one such pair per currency: different ones are never compared.
local function cleared_in(h, unit)
  return tonumber(string.match(h.merchant_cleared, '(%d+)|' .. unit) or '0')
end

local function merchant_closed(h)
  local asked, unit = string.match(h.merchant, '^(%d+)|(%u+)$')
  return asked ~= nil and cleared_in(h, unit) >= tonumber(asked)
end

-- Derives what is held from the totals, on the hold and on its account.
local function reckon(a, h)
  if h.merchant ~= '' and merchant_closed(h) then
    h.flags = add_flag(h.flags, 'f')
  end
  local before = h.held
  h.held = held_of(h.approved, h.reversed, h.captured, h.flags)
  a.held = a.held + h.held - before
  -- A purchase counts as long as something of it is left.
  local total, counted = h.held + h.captured, h.counted
  h.counted = total
  if counts and total ~= counted then
    count_change(h, total - counted, (total > 0 and 1 or 0) - (counted > 0 and 1 or 0))
  end
  return before - h.held
end

-- Writes the hold. An open one lives until it is closed; a closed one is kept for late messages.
local function save_hold(h, keep_ms)
  if h.first_pseq == '0' then
    h.first_pseq = text(pseq)
  end
  if h.existed then
    redis.call('HSET', hold, 'a', text(h.approved), 'r', text(h.reversed), 'c', text(h.captured),
      'h', text(h.held), 'b', text(h.refunded), 'flags', h.flags, 'q', h.first_pseq,
      'x', h.expire_at_ms, 'u', now_ms)
  else
    redis.call('HSET', hold, 'p', ARGV[8], 'acct', ARGV[9], 'card', ARGV[10], 'n', ARGV[11],
      'a', text(h.approved), 'r', text(h.reversed), 'c', text(h.captured), 'h', text(h.held),
      'b', text(h.refunded), 'flags', h.flags, 'q', h.first_pseq, 'x', h.expire_at_ms, 'u', now_ms)
  end
  if h.merchant_known or h.merchant ~= '' or h.merchant_cleared ~= '' then
    redis.call('HSET', hold, 'm', h.merchant, 'mc', h.merchant_cleared)
  end
  if h.windows ~= '' then
    redis.call('HSET', hold, 'w', h.windows)
    save_windows()
  end
  if h.advised_at_ms > 0 then
    redis.call('HSET', hold, 't', text(h.advised_at_ms))
  end
  if h.held == 0 then
    redis.call('PEXPIRE', hold, keep_ms or retention_ms)
    if not h.new then
      redis.call('ZREM', expiry, hold)
    end
  elseif not h.opened then
    redis.call('ZADD', expiry, h.expire_at_ms, hold)
    if h.existed then
      redis.call('PERSIST', hold)
    end
  end
end
