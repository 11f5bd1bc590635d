-- What a card remembers: its first merchant, what it was used for lately, and where it ever was.
-- Checks against fraud look at it, with the thresholds of authz/fraud.py. Lists are newest first,
-- separated by ';', and each item ends with its ms.
--   KEYS  8 learned  9 recent: declines 'ms;...', bought 'authorization,minor,merchant,ms;...'
--   ARGV  26 three lines, '' for what is off or cannot matter:
--            card testing 'control,declines,window_ms;...'
--            first use abroad 'control,country,wait_ms'
--            repetition 'control,window_ms,merchant'
local learned, recent = KEYS[8], KEYS[9]
local testing, abroad, repetition = string.match(ARGV[26], '^([^\n]*)\n([^\n]*)\n(.*)$')
local RECENT_MS, DECLINES_MAX, BOUGHT_MAX, ABROAD_MAX = 3600000, 20, 8, 50
-- What a tester of stolen cards meets: wrong details, and uses that are not allowed.
local GUESSES = ' 4 5 6 7 9 23 24 25 26 '

-- Making a function takes time, too: these exist only where their check is on.
local repeated_by, abroad_by, is_elsewhere

local function is_guess(reason)
  return string.find(GUESSES, ' ' .. reason .. ' ', 1, true) ~= nil
end

local function remembered(item, before, most, age_ms)
  local items = {item}
  for one in string.gmatch(before or '', '[^;]+') do
    if #items < most and now_ms - string.match(one, '%d+$') < age_ms then
      items[#items + 1] = one
    end
  end
  return table.concat(items, ';')
end

-- The check that has seen too many declines, if any has.
local function tested_by(declines)
  local times = {}
  for ms in string.gmatch(declines, '%d+') do
    times[#times + 1] = ms
  end
  for control, count, window in string.gmatch(testing, '([^,;]+),(%d+),(%d+)') do
    local oldest = times[tonumber(count)]
    if oldest and now_ms - oldest < tonumber(window) then
      return control
    end
  end
end

local function suspect(reason, control)
  refusal.control, refusal.left, refusal.left_count = control, '-1', '-1'
  return reason
end

local function remember(field, item, before, most)
  redis.call('HSET', recent, field, remembered(item, before, most, RECENT_MS))
  redis.call('PEXPIRE', recent, RECENT_MS)
end

if ARGV[23] ~= '' then

-- Locked: the merchant is another one if neither its id nor its descriptor is the first one's.
function is_elsewhere(id, name, this_id, this_name)
  local same = (id ~= '' and id == this_id) or (name ~= '' and name == this_name)
  return (id ~= '' or name ~= '') and not same
end

end
if abroad ~= '' then

-- The check that has not seen the country long enough, and the item to note if it never has.
function abroad_by(noted)
  local control, country, wait = string.match(abroad, '^([^,]+),(%u%u),(%d+)$')
  local since = string.match(noted or '', country .. ',(%d+)')
  if not since then
    return control, country .. ',' .. now_ms
  end
  return now_ms - since < tonumber(wait) and control or nil
end

end
if repetition ~= '' then

-- The check that has seen this amount at this merchant a moment ago, and it was not given back.
function repeated_by(bought, minor)
  local control, window, merchant = string.match(repetition, '^([^,]+),(%d+),(%x+)$')
  for item in string.gmatch(bought, '[^;]+') do
    local amount, where, ms = string.match(item, ',(%d+),(%x*),(%d+)$')
    if amount == minor and where == merchant and now_ms - ms < tonumber(window) then
      return control
    end
  end
end

end
