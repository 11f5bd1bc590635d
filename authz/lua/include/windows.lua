-- The windows that limits count in: a HASH each, slot -> 'amount|count'. A slot number grows with
-- time; what lies in slots from `oldest` on counts (authz/windows.py).
--   KEYS  the windows' keys, behind all others
--   ARGV  the last, three lines:
--         the hold's windows as the caller knew them: 'name,slot,amount,count;...', newest last
--         'control,left_minor' of a decline that is already decided, else ''
--         limits to count in now: 'name,control,oldest,current,keep,ttl_ms,amount,count;...'
-- Making a function takes time, too: these exist only where something is limited or counted.
local counting = ARGV[#ARGV]
local counts = counting ~= '\n\n'
local known_windows, windows, limits = '', {}, {}
local load_windows, look_at_limits, refuse, count_change, save_windows
if counts then

function load_windows()
  local told, limits_text
  known_windows, told, limits_text = string.match(counting, '^([^\n]*)\n([^\n]*)\n(.*)$')
  for _, window in ipairs(KEYS) do
    local name = string.match(window, '^{%x%x}:win:(.+)$')
    if name then
      local slots, fields = {}, redis.call('HGETALL', window)
      for i = 1, #fields, 2 do
        local amount, count = string.match(fields[i + 1], '^(%d+)|(%d+)$')
        slots[fields[i]] = {amount = tonumber(amount), count = tonumber(count)}
      end
      windows[name] = {key = window, slots = slots, changed = {}}
    end
  end
  local pattern = '([^,;]+),([^,]+),(%d+),(%d+),(%d+),(%d+),(%d*),(%d*)'
  for name, control, oldest, current, keep, ttl, amount, count in
    string.gmatch(limits_text, pattern) do
    limits[#limits + 1] = {
      name = name, control = control, oldest = tonumber(oldest), current = current,
      keep = tonumber(keep), ttl_ms = ttl, amount = tonumber(amount), count = tonumber(count),
    }
  end
  if told ~= '' then
    refusal.control, refusal.left = string.match(told, '^([^,]+),(.+)$')
  end
end

-- What every limit leaves: the rest of the tightest, that one, and one whose count is used up.
function look_at_limits()
  local rest, tightest, exhausted = math.huge, nil, nil
  for _, limit in ipairs(limits) do
    local amount, count = 0, 0
    for slot, used in pairs(windows[limit.name].slots) do
      if tonumber(slot) >= limit.oldest then
        amount, count = amount + used.amount, count + used.count
      end
    end
    limit.left = limit.amount and math.max(limit.amount - amount, 0)
    limit.left_count = limit.count and math.max(limit.count - count, 0)
    if limit.left and limit.left < rest then
      rest, tightest = limit.left, limit
    end
    exhausted = exhausted or (limit.left_count == 0 and limit or nil)
  end
  return rest, tightest, exhausted
end

-- The decline reason, and for the answer the limit that said no with what it leaves.
function refuse(reason, limit)
  refusal.control = limit.control
  refusal.left = limit.left and text(limit.left) or '-1'
  refusal.left_count = limit.left_count and text(limit.left_count) or '-1'
  return reason
end

end
