-- Counting in windows, and giving back: include/windows.lua has read them.
--   KEYS  and
--   ARGV  as there

if counts then

-- A slot that has gone is not made anew.
local function adjust(item, amount, count)
  item.amount, item.count = item.amount + amount, item.count + count
  local window = windows[item.name]
  local slot = window.slots[item.slot]
  if slot then
    slot.amount, slot.count = slot.amount + amount, slot.count + count
    window.changed[item.slot] = true
  end
end

-- Counts a change of what the authorization holds and has captured. More goes to the slots of now
-- if the caller gave any, else to where it was counted last; less is taken from the newest first.
function count_change(h, change, purchases)
  local items, met = {}, {}
  for name, slot, amount, count in string.gmatch(h.windows, '([^,;]+),(%d+),(%d+),(%d+)') do
    items[#items + 1] =
      {name = name, slot = slot, amount = tonumber(amount), count = tonumber(count)}
  end
  for _, limit in ipairs(change > 0 and limits or {}) do
    local item
    for _, one in ipairs(items) do
      item = one.name == limit.name and one.slot == limit.current and one or item
    end
    if not item then
      item = {name = limit.name, slot = limit.current, amount = 0, count = 0}
      items[#items + 1] = item
    end
    local window = windows[limit.name]
    window.limit = limit
    window.slots[limit.current] = window.slots[limit.current] or {amount = 0, count = 0}
    adjust(item, change, purchases)
  end
  for i = #limits == 0 and change > 0 and #items or 0, 1, -1 do
    if not met[items[i].name] then
      met[items[i].name] = true
      adjust(items[i], change, purchases)
    end
  end
  for i = change < 0 and #items or 0, 1, -1 do
    local name = items[i].name
    local back = math.min(met[name] or -change, items[i].amount)
    met[name] = (met[name] or -change) - back
    adjust(items[i], -back, purchases < 0 and -items[i].count or 0)
  end
  for i, item in ipairs(items) do
    items[i] = table.concat({item.name, item.slot, text(item.amount), text(item.count)}, ',')
  end
  h.windows = table.concat(items, ';')
end

function save_windows()
  for _, window in pairs(windows) do
    local key, limit = window.key, window.limit
    for slot in pairs(window.changed) do
      local used = window.slots[slot]
      redis.call('HSET', key, slot, text(used.amount) .. '|' .. text(used.count))
    end
    for slot in pairs(limit and window.slots or {}) do
      if tonumber(slot) < limit.keep then
        redis.call('HDEL', key, slot)
      end
    end
    if limit and limit.ttl_ms ~= '0' then
      redis.call('PEXPIRE', key, limit.ttl_ms)
    end
  end
end

end
