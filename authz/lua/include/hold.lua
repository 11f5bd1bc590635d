-- The hold arithmetic of authz/hold.py: H = 0 if closed, else max(A - R - C, 0).
-- Flags: a approved, d declined, f final capture, v fully reversed, e expired.
local function held_of(approved, reversed, captured, flags)
  if string.find(flags, '[fve]') then
    return 0
  end
  return math.max(approved - reversed - captured, 0)
end

local function add_flag(flags, flag)
  if string.find(flags, flag, 1, true) then
    return flags
  end
  return flags .. flag
end

-- Lua numbers are doubles: below 2^53 they are exact, and this prints them without an exponent.
local function text(number)
  return string.format('%.0f', number)
end

local EXACT = 9007199254740992

-- An open hold lives until it is closed; a closed one is kept for late messages, then forgotten.
local function keep(hold, expiry, held, expire_at_ms, retention_ms)
  if held > 0 then
    redis.call('PERSIST', hold)
    redis.call('ZADD', expiry, expire_at_ms, hold)
  else
    redis.call('ZREM', expiry, hold)
    redis.call('PEXPIRE', hold, retention_ms)
  end
end
