"""When each watched device was last heard, in one sorted set of Redis."""

from collections.abc import Collection, Mapping
from heapq import nsmallest
from typing import Any

from qold.adapters.redis_server import RedisServer

KEY = "last_seen"


class RedisLastSeen:
    """A LastSeen in one database of Redis."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    def enrol(self, seen_at_ms: Mapping[int, int]) -> None:
        if seen_at_ms:
            with self._server.calling() as client:
                client.zadd(KEY, _scores(seen_at_ms), nx=True)

    def touch(self, seen_at_ms: Mapping[int, int]) -> Mapping[int, int | None]:
        if not seen_at_ms:
            return {}
        with self._server.calling() as client, client.pipeline(transaction=True) as steps:
            steps.zmscore(KEY, [str(device_id) for device_id in seen_at_ms])
            steps.zadd(KEY, _scores(seen_at_ms), gt=True)
            before: Any = steps.execute()[0]
        return {
            device_id: None if score is None else int(score)
            for device_id, score in zip(seen_at_ms, before, strict=True)
        }

    def retire(self, device_ids: Collection[int]) -> None:
        if device_ids:
            with self._server.calling() as client:
                client.zrem(KEY, *(str(device_id) for device_id in device_ids))

    def get(self, device_ids: Collection[int]) -> Mapping[int, int]:
        wanted = list(device_ids)
        if not wanted:
            return {}
        with self._server.calling() as client:
            scores: Any = client.zmscore(KEY, [str(device_id) for device_id in wanted])
        return {
            device_id: int(score)
            for device_id, score in zip(wanted, scores, strict=True)
            if score is not None
        }

    def overdue(self, before_ms: int, *, after_id: int = 0, limit: int = 1000) -> list[int]:
        # The set is in order of time: what is overdue is short as long as most devices are well.
        with self._server.calling() as client:
            members: Any = client.zrangebyscore(KEY, "-inf", f"({before_ms}")
        return nsmallest(limit, (i for i in map(int, members) if i > after_id))

    def ping(self) -> None:
        self._server.ping()

    def close(self) -> None:
        self._server.close()


def _scores(seen_at_ms: Mapping[int, int]) -> dict[str, int]:
    return {str(device_id): at_ms for device_id, at_ms in seen_at_ms.items()}
