"""What RedisControlStore has Redis do in one breath: Lua, by the server's clock.

Each script is given the identity that the store had before ("": not known yet) and the one that it
gets where it is made now ("": it is not made), then its own arguments. It does nothing in a store
of another identity or format, and answers ``{identity, format, revision, answer}``.

Keys, all in one slot:

- ``state``: hash of id, format, revision (of the last change) and version;
- ``changes``: hash, revision to ``at_ms JSON``; ``order`` and ``index``: sorted sets of its
  revisions, by revision and by subject; ``last``: sorted set, subject by its last revision;
- ``processes``: hash of who they are; ``seen``: sorted set, process by when it was seen;
  ``outcomes:PROCESS`` and ``attempts:PROCESS``: hashes by subject;
- ``published:SUBJECT``: hash by process; ``told:SUBJECT``: sorted set, process by when;
- ``leases``: hash, lease to ``taken_ms ttl_ms holder``.
"""

from __future__ import annotations

from penstock.stores.published_statements import KEPT_MS

STATE = "penstock:{control}:state"
FORMAT = 1
KEPT_CHANGES = 10_000
_DAY_MS = 24 * 3600 * 1000

_BEGIN = f"""
local state, P, DAY_MS, TOLD_MS = KEYS[1], 'penstock:{{control}}:', {_DAY_MS}, {KEPT_MS}
local id = redis.call('HGET', state, 'id')
if not id and ARGV[1] == '' and ARGV[2] ~= '' then
  id = ARGV[2]
  redis.call('HSET', state, 'id', id, 'format', '{FORMAT}', 'revision', '0', 'version', '0')
end
local format = redis.call('HGET', state, 'format')
if not id or (ARGV[1] ~= '' and ARGV[1] ~= id) or format ~= '{FORMAT}' then
  return {{id or '', format or '', '0', ''}}
end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(number) return string.format('%.0f', number) end
local function padded(revision) return string.format('%016.0f', revision) end
local function forget(process)
  redis.call('HDEL', P .. 'processes', process)
  redis.call('ZREM', P .. 'seen', process)
  redis.call('DEL', P .. 'outcomes:' .. process, P .. 'attempts:' .. process)
end
local function rows(revisions)
  local found = {{}}
  for i, revision in ipairs(revisions) do
    found[i] = {{revision[1], revision[2], redis.call('HGET', P .. 'changes', revision[1])}}
  end
  return found
end
local function work()
"""
_END = """
end
local answer = work()
return {id, format, redis.call('HGET', state, 'revision'), answer}
"""


def _script(body: str) -> str:
    return f"{_BEGIN}{body}{_END}"


CHANGE = _script(r"""
local subject, expected, row, kept = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local last = tonumber(redis.call('ZSCORE', P .. 'last', subject) or 0)
if expected ~= '' and tonumber(expected) ~= last then return 0 end
local revision = redis.call('HINCRBY', state, 'revision', 1)
redis.call('HINCRBY', state, 'version', 1)
local name = text(revision)
redis.call('HSET', P .. 'changes', name, text(now_ms) .. ' ' .. row)
redis.call('ZADD', P .. 'order', name, name .. ' ' .. subject)
redis.call('ZADD', P .. 'index', 0, subject .. '\0' .. padded(revision))
redis.call('ZADD', P .. 'last', name, subject)
local old = redis.call('ZRANGEBYSCORE', P .. 'order', '-inf', text(revision - kept))
for _, member in ipairs(old) do
  local number, of = member:match('^(%d+) (.*)$')
  if tonumber(redis.call('ZSCORE', P .. 'last', of)) ~= tonumber(number) then
    redis.call('HDEL', P .. 'changes', number)
    redis.call('ZREM', P .. 'order', member)
    redis.call('ZREM', P .. 'index', of .. '\0' .. padded(tonumber(number)))
  end
end
return revision
""")
"""subject, expected ("": whatever it is), JSON, how many are kept: the revision, or 0."""

DESIRED = _script(r"""
local found, revisions = redis.call(
  'ZRANGEBYSCORE', P .. 'last', '(' .. ARGV[3], '+inf', 'WITHSCORES'), {}
for i = 1, #found, 2 do
  revisions[#revisions + 1] = {text(tonumber(found[i + 1])), found[i]}
end
return rows(revisions)
""")
"""after: rows of revision, subject and change, ascending."""

HISTORY = _script(r"""
local subject, limit, revisions = ARGV[3], ARGV[4], {}
if subject == '' then
  for _, member in ipairs(redis.call('ZREVRANGE', P .. 'order', 0, limit - 1)) do
    revisions[#revisions + 1] = {member:match('^(%d+) (.*)$')}
  end
else
  local from, to = '[' .. subject .. '\0:', '[' .. subject .. '\0'
  for _, member in ipairs(
    redis.call('ZREVRANGEBYLEX', P .. 'index', from, to, 'LIMIT', 0, limit)) do
    revisions[#revisions + 1] = {text(tonumber(member:sub(-16))), subject}
  end
end
return rows(revisions)
""")
"""subject ("": all), limit: rows of revision, subject and change, the youngest first."""

ATTEMPT = _script("redis.call('HSET', P .. 'attempts:' .. ARGV[3], ARGV[4], ARGV[5]) return ''")
"""process, subject, revision."""

ABANDONED = _script("return redis.call('HGETALL', P .. 'attempts:' .. ARGV[3])")
"""process: subject, revision, subject, ..."""

REPORT = _script(r"""
local process, attempts = ARGV[3], P .. 'attempts:' .. ARGV[3]
local is_new = redis.call('HSETNX', P .. 'processes', process, ARGV[4]) == 1
redis.call('ZADD', P .. 'seen', text(now_ms), process)
for i = 5, #ARGV, 3 do
  redis.call('HSET', P .. 'outcomes:' .. process, ARGV[i], ARGV[i + 2])
  local begun = redis.call('HGET', attempts, ARGV[i])
  if begun and tonumber(begun) <= tonumber(ARGV[i + 1]) then
    redis.call('HDEL', attempts, ARGV[i])
  end
end
if is_new then
  local old = text(now_ms - DAY_MS)
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', P .. 'seen', '-inf', '(' .. old)) do
    forget(gone)
  end
end
if is_new or #ARGV > 4 then redis.call('HINCRBY', state, 'version', 1) end
return ''
""")
"""process, who it is, then of each outcome: subject, revision, JSON."""

LEAVE = _script(r"""
forget(ARGV[3])
redis.call('HINCRBY', state, 'version', 1)
return ''
""")
"""process."""

STANDINGS = _script(r"""
local found, from, to = {}, text(now_ms - ARGV[4]), text(now_ms + ARGV[4])
for i, process in ipairs(redis.call('ZRANGEBYSCORE', P .. 'seen', from, to)) do
  found[i] = {
    process,
    redis.call('HGET', P .. 'processes', process),
    redis.call('HGET', P .. 'outcomes:' .. process, ARGV[3]),
  }
end
return found
""")
"""subject, live_ms: rows of process, who it is, JSON of the outcome or nothing."""

PUBLISH = _script(r"""
local values, told = P .. 'published:' .. ARGV[4], P .. 'told:' .. ARGV[4]
redis.call('ZADD', told, text(now_ms), ARGV[3])
if redis.call('HSET', values, ARGV[3], ARGV[5]) == 1 then
  local old = text(now_ms - TOLD_MS)
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', told, '-inf', '(' .. old)) do
    redis.call('HDEL', values, gone)
    redis.call('ZREM', told, gone)
  end
end
redis.call('PEXPIRE', values, TOLD_MS)
redis.call('PEXPIRE', told, TOLD_MS)
return ''
""")
"""process, subject, value."""

PUBLISHED = _script(r"""
local found, values = {}, P .. 'published:' .. ARGV[3]
local from, to = text(now_ms - TOLD_MS), text(now_ms + TOLD_MS)
for _, process in ipairs(redis.call('ZRANGEBYSCORE', P .. 'told:' .. ARGV[3], from, to)) do
  local value = redis.call('HGET', values, process)
  if value then found[#found + 1] = {process, value} end
end
return found
""")
"""subject: rows of process and value, of the values that are still there."""

ACQUIRE = _script(r"""
local lease, holder, all = ARGV[3], ARGV[4], redis.call('HGETALL', P .. 'leases')
for i = 1, #all, 2 do
  local taken, ttl, by = all[i + 1]:match('^(%d+) (%d+) (.*)$')
  local is_over = math.abs(now_ms - taken) > tonumber(ttl)
  if is_over then
    redis.call('HDEL', P .. 'leases', all[i])
  elseif all[i] == lease and by ~= holder then
    return 0
  end
end
redis.call('HSET', P .. 'leases', lease, text(now_ms) .. ' ' .. ARGV[5] .. ' ' .. holder)
return 1
""")
"""lease, holder, ttl_ms: 1 where it is the holder's. Forgets those that are over."""

RELEASE = _script(r"""
local row = redis.call('HGET', P .. 'leases', ARGV[3])
if row and row:match('^%d+ %d+ (.*)$') == ARGV[4] then
  redis.call('HDEL', P .. 'leases', ARGV[3])
end
return ''
""")
"""lease, holder."""
