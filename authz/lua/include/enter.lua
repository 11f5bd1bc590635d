-- The first two questions of every movement: is this the epoch the caller knows, and has this
-- request been answered before? Returns an answer to give back as it is, or nil and the pseq.
local function enter(meta, req, epoch, fingerprint)
  local m = redis.call('HMGET', meta, 'epoch', 'pseq')
  if m[1] ~= epoch then
    return {'WRONG_EPOCH', ''}
  end
  local stored = redis.call('GET', req)
  if not stored then
    return nil, tonumber(m[2])
  end
  if string.sub(stored, 1, 32) ~= fingerprint then
    return {'REQUEST_ID_REUSED', ''}
  end
  return {'REPLAYED', string.sub(stored, 34)}
end
