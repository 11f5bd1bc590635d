-- What only clearings have: each posts once, and may be in another currency.
-- Was this clearing posted before, under whatever request id? Then this id is taken, too.
local function enter_clearing(clearing, clearing_fingerprint)
  local stored = clearing_fingerprint ~= '' and redis.call('GET', clearing)
  if not stored then
    return nil
  end
  if string.sub(stored, 1, 32) ~= clearing_fingerprint then
    return {'CLEARING_REUSED', ''}
  end
  redis.call('SET', req, fingerprint .. string.sub(stored, 33), 'PX', record_ttl_ms)
  return {'REPLAYED', string.sub(stored, 34)}
end

local function record_clearing(clearing, clearing_fingerprint, outcome)
  if clearing_fingerprint ~= '' then
    redis.call('SET', clearing, clearing_fingerprint .. '|' .. outcome, 'PX', retention_ms)
  end
end

local function add_cleared(h, merchant_amount)
  local minor, unit = string.match(merchant_amount, '^(%d+)|(%u+)$')
  if minor then
    local sum = text(cleared_in(h, unit) + tonumber(minor)) .. '|' .. unit .. ' '
    h.merchant_cleared = string.gsub(h.merchant_cleared, '%d+|' .. unit .. ' ?', '') .. sum
  end
end
