"""What streams have Redis do in one breath: Lua. Each runs in one slot of a cluster.

What there is many of comes as one argument, a text of texts (``texts``): the client would pack
each of them by itself, in Python, which takes longer than all the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final


def texts(items: Iterable[bytes]) -> bytes:
    """Many texts as one: each behind its length, four bytes, the lowest first."""
    return b"".join(part for item in items for part in (len(item).to_bytes(4, "little"), item))


SUSPECT_DELIVERIES: Final = 2
"""An entry that was delivered so often is claimed alone."""

CLAIM: Final = f"""
local key, group, me, idle, count = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local ids, times, suspect = {{}}, {{}}, nil
for _, row in ipairs(redis.call('XPENDING', key, group, 'IDLE', idle, '-', '+', count)) do
  times[row[1]] = row[4]
  if row[4] < {SUSPECT_DELIVERIES} then ids[#ids + 1] = row[1] else suspect = suspect or row[1] end
end
if #ids == 0 then ids[1] = suspect end
if #ids == 0 then return {{}} end
local found = {{}}
for _, entry in ipairs(redis.call('XCLAIM', key, group, me, idle, unpack(ids))) do
  found[#found + 1] = {{entry[1], entry[2], times[entry[1]]}}
end
return found
"""
"""group, consumer, idle ms, count: (id, fields, deliveries before) of entries whose consumer was
silent for so long; those that were delivered often before only when there are no others, one by
one."""

KEEP: Final = """
local key, group, me = KEYS[1], ARGV[1], ARGV[2]
local lost = {}
for i = 3, #ARGV do
  if #redis.call('XPENDING', key, group, ARGV[i], ARGV[i], 1, me) == 1 then
    redis.call('XCLAIM', key, group, me, 0, ARGV[i], 'JUSTID')
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
"""
"""group, consumer, ids: those that are still this consumer's are not idle; returns the others."""

RELEASE: Final = """
local key, group, me, idle = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
for i = 4, #ARGV do
  if #redis.call('XPENDING', key, group, ARGV[i], ARGV[i], 1, me) == 1 then
    redis.call('XCLAIM', key, group, me, 0, ARGV[i], 'IDLE', idle, 'JUSTID')
  end
end
return 1
"""
"""group, consumer, idle ms, ids: anybody may claim these now."""

LEAVE: Final = """
local key, group, me = KEYS[1], ARGV[1], ARGV[2]
if #redis.call('XPENDING', key, group, '-', '+', 1, me) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', key, group, me)
end
return 1
"""
"""group, consumer: forgets a consumer that has nothing."""

LAG: Final = """
local key, group = KEYS[1], ARGV[1]
local pending = redis.call('XPENDING', key, group)
local last, lag = '0-0', -1
for _, row in ipairs(redis.call('XINFO', 'GROUPS', key)) do
  local found = {}
  for i = 1, #row, 2 do found[row[i]] = row[i + 1] end
  if found['name'] == group then
    last = found['last-delivered-id']
    lag = found['lag'] or -1
  end
end
local next = redis.call('XRANGE', key, '(' .. last, '+', 'COUNT', 1)
return {pending[1], pending[2] or '', last, lag, next[1] and next[1][1] or ''}
"""
"""group: pending entries, the first of them, the last one delivered, how many come behind it (-1:
not known), and the first of those."""

_TAKE = """
local function reader(text)
  local at, size = 1, #text
  return function()
    if at > size then return nil end
    local length, from = struct.unpack('<I4', text, at)
    at = from + length
    return string.sub(text, from, at - 1)
  end
end
local function many(take, count)
  local found = {}
  for i = 1, count do found[i] = take() end
  return found
end
"""

ACK: Final = f"""{_TAKE}
local take, done = reader(ARGV[2]), 0
for id in take do done = done + redis.call('XACK', KEYS[1], ARGV[1], id) end
return done
"""
"""group, ids: they are settled; returns how many were not."""

ADD: Final = f"""{_TAKE}
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local window_ms, max_len, added = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
local take = reader(ARGV[3])
for id in take do
  local fields = many(take, tonumber(take()))
  if not redis.call('ZSCORE', KEYS[2], id) then
    redis.call('XADD', KEYS[1], '*', unpack(fields))
    redis.call('ZADD', KEYS[2], now_ms, id)
    added = added + 1
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now_ms - window_ms)
redis.call('PEXPIRE', KEYS[2], window_ms)
if max_len > 0 then redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', max_len) end
return added
"""
"""window ms, longest stream (0: any), then of each result its id, the number of fields and values,
and these: adds what was not added within the window; returns how many."""

ADD_AND_ACK: Final = f"""{_TAKE}
local group, max_len, done = ARGV[1], tonumber(ARGV[2]), 0
local take = reader(ARGV[3])
for id in take do
  local fields = many(take, tonumber(take()))
  if #redis.call('XPENDING', KEYS[1], group, id, id, 1) == 1 then
    if #fields > 0 then redis.call('XADD', KEYS[2], '*', unpack(fields)) end
    redis.call('XACK', KEYS[1], group, id)
    done = done + 1
  end
end
if max_len > 0 then redis.call('XTRIM', KEYS[2], 'MAXLEN', '~', max_len) end
return done
"""
"""group, longest stream, then of each entry its id, the number of fields and values (0: nothing
is sent), and these: adds and acknowledges what nobody has acknowledged yet; returns how many."""
