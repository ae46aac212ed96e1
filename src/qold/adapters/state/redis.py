"""The state store in Redis: one round trip per batch, compare and set in one script."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from qold.adapters.redis_server import RedisServer
from qold.ports import StateChange, StoredState

PREFIX = "state:"
KEEP_MS = 3_600_000
"""An expired state is absent by the caller's clock; Redis forgets it so much later by its own."""

# An entry is `<version> <expires_at_ms or 0> <value>`.
_SAVE = """
local now, keep, conflicts = tonumber(ARGV[1]), tonumber(ARGV[2]), {}
for i, key in ipairs(KEYS) do
  local version, value, expires = ARGV[3 * i], ARGV[3 * i + 1], tonumber(ARGV[3 * i + 2])
  local stored, there = redis.call('GET', key), '0'
  if stored then
    local found, until_ms = string.match(stored, '^(%d+) (%d+) ')
    if until_ms == '0' or tonumber(until_ms) > now then there = found end
  end
  if there ~= version then
    conflicts[#conflicts + 1] = i
  else
    local entry = string.format('%d %s %s', tonumber(version) + 1, ARGV[3 * i + 2], value)
    if expires == 0 then
      redis.call('SET', key, entry)
    else
      redis.call('SET', key, entry, 'PX', string.format('%d', math.max(0, expires - now) + keep))
    end
  end
end
return conflicts
"""


class RedisStateStore:
    """A StateStore in one database of Redis."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    def load(self, keys: Collection[str], *, now_ms: int) -> Mapping[str, StoredState]:
        wanted = list(keys)
        if not wanted:
            return {}
        with self._server.calling() as client:
            entries: Any = client.mget([PREFIX + key for key in wanted])
        found = {}
        for key, entry in zip(wanted, entries, strict=True):
            if entry is not None:
                version, expires_at_ms, value = entry.split(" ", 2)
                if expires_at_ms == "0" or int(expires_at_ms) > now_ms:
                    found[key] = StoredState(int(version), value)
        return found

    def save(self, changes: Sequence[StateChange], *, now_ms: int) -> list[str]:
        if not changes:
            return []
        arguments: list[str | int] = [now_ms, KEEP_MS]
        for change in changes:
            arguments += [change.version, change.value, change.expires_at_ms or 0]
        with self._server.calling() as client:
            save = client.register_script(_SAVE)
            conflicts: Any = save([PREFIX + change.key for change in changes], arguments)
        return [changes[number - 1].key for number in conflicts]

    def delete(self, keys: Collection[str]) -> None:
        if keys:
            with self._server.calling() as client:
                client.unlink(*(PREFIX + key for key in keys))

    def ping(self) -> None:
        self._server.ping()

    def close(self) -> None:
        self._server.close()
