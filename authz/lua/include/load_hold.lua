-- Reads a hold: from its key, else from what the ledger knew of it, else (if a message may come
-- before its authorization) a new one. Returns nil if there is none.
local function load_hold(hold, seed, create)
  local h = redis.call('HMGET', hold, 'a', 'r', 'c', 'h', 'flags', 'q', 'x')
  local existed = h[5] ~= false
  if existed then
    return {
      approved = tonumber(h[1]), reversed = tonumber(h[2]), captured = tonumber(h[3]),
      held = tonumber(h[4]), flags = h[5], first_pseq = h[6], expire_at_ms = h[7],
    }, true
  end
  if seed ~= '' then
    local s = {}
    for field in string.gmatch(seed .. '|', '([^|]*)|') do
      s[#s + 1] = field
    end
    return {
      approved = tonumber(s[1]), reversed = tonumber(s[2]), captured = tonumber(s[3]),
      held = tonumber(s[4]), flags = s[5], first_pseq = s[6], expire_at_ms = s[7],
    }, false
  end
  if not create then
    return nil, false
  end
  return {
    approved = 0, reversed = 0, captured = 0, held = 0, flags = '', first_pseq = '0',
    expire_at_ms = '0',
  }, false
end

-- `origin` is {principal, account id, card id, network} of a hold that has no key yet.
local function save_hold(hold, existed, h, captured, reversed, held, flags, now_ms, origin)
  redis.call('HSET', hold, 'r', text(reversed), 'c', text(captured), 'h', text(held),
    'flags', flags, 'u', now_ms)
  if not existed then
    redis.call('HSET', hold, 'a', text(h.approved), 'q', h.first_pseq, 'x', h.expire_at_ms,
      'p', origin[1], 'acct', origin[2], 'card', origin[3], 'n', origin[4])
  end
end
