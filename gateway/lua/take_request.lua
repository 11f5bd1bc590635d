--[[ Counts a request, unless as many as the limit were counted in the window before it: in no
  window of that length are more ever let through. Times are in milliseconds, cut, so that a request
  is forgotten one later.

  KEYS  1 list of the times of requests that were let through, newest first  2 hash of the session
        that the caller's token names, if it names one
  ARGV  1 now_ms  2 limit (1 to 600,000)  3 window_ms

  {status, remaining, wait_ms}
    TAKEN       remaining: how many more may follow now; wait_ms: until one more may
    OVER_LIMIT  wait_ms: until a request is let through again
    NO_SESSION  the session has ended; nothing is counted: whoever has its token uses up nothing
  O(1): what has left the window is removed a few at a time. Holds at most `limit` times. ]]
local FORGET_MAX = 64
local times, session = KEYS[1], KEYS[2]
local now_ms, limit, window_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

if session and redis.call('EXISTS', session) == 0 then
  return {'NO_SESSION', 0, 0}
end

local newest = tonumber(redis.call('LINDEX', times, 0) or 0)
if newest - now_ms > window_ms then
  -- The clock was set back by more than a window: these times tell nothing.
  redis.call('DEL', times)
elseif newest > now_ms then
  now_ms = newest
end

local horizon = now_ms - window_ms
local length = redis.call('LLEN', times)
local oldest = length > 0 and tonumber(redis.call('LINDEX', times, -1))
for _ = 1, FORGET_MAX do
  if not oldest or oldest >= horizon then break end
  redis.call('RPOP', times)
  length = length - 1
  oldest = length > 0 and tonumber(redis.call('LINDEX', times, -1))
end

if length >= limit then
  local last = tonumber(redis.call('LINDEX', times, limit - 1))
  if last >= horizon then
    return {'OVER_LIMIT', 0, last - horizon + 1}
  end
  redis.call('LTRIM', times, 0, limit - 2)
  length = limit - 1
end
redis.call('LPUSH', times, now_ms)
redis.call('PEXPIRE', times, window_ms + 1)
return {'TAKEN', limit - length - 1, (oldest or now_ms) - horizon + 1}
