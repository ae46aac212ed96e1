"""KairosDB behind nginx (source 5.4.1.7): a gzip POST per window, over one kept connection.

Its 204 says that the points are in its file queue, which outlives the process; they can be read 0.1
to 0.5 s later (docs/adr/0019). So one acknowledged point after the other is looked for. While one is
not there after a minute, writes are refused: the log holds what its queue would hide.

Of two values for one device, metric and millisecond that KairosDB hands to Cassandra in one batch
the larger is kept: the last write wins over what could already be read.
"""

import gzip
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from qold.adapters.http_service import Answer, HttpService
from qold.clock import Clock
from qold.domain.read_back import ReadBack
from qold.domain.readings import point_fault
from qold.ports import Aggregator, Metric, Point, Refused, Unavailable

POST_POINTS = 5000
GZIP_LEVEL = 1
MAX_ANSWER_BYTES = 64 * 2**20
NO_CONTENT = 204
_WRITE, _QUERY = "/api/v1/datapoints", "/api/v1/datapoints/query"
_TYPES: dict[Metric, str] = {"Temperature": "double", "Battery": "long"}
_END_MS = 2**53 - 1

log = logging.getLogger(__name__)

Series = dict[int, dict[int, float | int]]


class KairosReadingStore:
    """A ReadingStore; `service` is nginx, with the certificate that may write.

    `prefix` stands before the names of its metrics, where several share a KairosDB.
    """

    def __init__(self, service: HttpService, clock: Clock, prefix: str = "") -> None:
        self._prefix = prefix
        self._service = service
        self._clock = clock
        self._encode = msgspec.json.Encoder().encode
        self._read_back = ReadBack()

    def write(self, metric: Metric, points: Sequence[Point]) -> list[Refused]:
        until_s = self._service.call_ends_s()
        self._look_back(until_s)
        if self._read_back.is_late:
            raise Unavailable("KairosDB: what it acknowledged a minute ago cannot be read yet")
        refused = []
        good = []
        for index, point in enumerate(points):
            reason = point_fault(metric, point)
            if reason is None:
                good.append(point)
            else:
                refused.append(Refused(index, reason))
        for start in range(0, len(good), POST_POINTS):
            self._post(metric, _series(metric, good[start : start + POST_POINTS]), until_s)
        if good:
            self._read_back.acknowledged(metric, good[-1], self._clock.monotonic_ms())
        return refused

    def query(self, metric: Metric, device_id: int, from_ms: int, to_ms: int) -> list[Point]:
        return self._points(metric, device_id, from_ms, to_ms, self._service.call_ends_s())

    def aggregate(
        self,
        metric: Metric,
        device_id: int,
        from_ms: int,
        to_ms: int,
        *,
        bucket_ms: int,
        aggregator: Aggregator,
    ) -> list[Point]:
        until_s = self._service.call_ends_s()
        # KairosDB's buckets begin where the range begins: what is before the first of ours is apart.
        first_ms = min(to_ms, -(-from_ms // bucket_ms) * bucket_ms)
        values = [
            value
            for start_ms, end_ms in ((from_ms, first_ms), (first_ms, to_ms))
            for value in self._values(
                metric, device_id, start_ms, end_ms, until_s, _aggregators(aggregator, bucket_ms)
            )
        ]
        is_whole = aggregator == "count" or (metric == "Battery" and aggregator != "avg")
        convert = int if is_whole else float
        return [Point(device_id, at // bucket_ms * bucket_ms, convert(v)) for at, v in values]

    def count(self, metric: Metric) -> int:
        """All points; KairosDB reads every one of them for that, within the time a call has."""
        until_s = self._service.call_ends_s()
        everything = _aggregators("count", _END_MS)
        return sum(int(v) for _, v in self._values(metric, None, 0, _END_MS, until_s, everything))

    def verify(self) -> Mapping[str, int]:
        self._look_back(self._service.call_ends_s())
        return self._read_back.take_counts()

    def ping(self) -> None:
        _check(self._service.get("/api/v1/health/check"))

    def close(self) -> None:
        self._service.close()

    def _post(self, metric: Metric, series: Series, until_s: float) -> None:
        body = self._encode(
            [
                {
                    "name": self._prefix + metric,
                    "type": _TYPES[metric],
                    "tags": {"device_id": str(device_id)},
                    "datapoints": list(values.items()),
                }
                for device_id, values in series.items()
            ]
        )
        packed = gzip.compress(body, GZIP_LEVEL, mtime=0)
        answer = self._service.post(_WRITE, packed, encoding="gzip", until_s=until_s)
        _check(answer)
        if answer.status != NO_CONTENT:
            raise Unavailable(f"{answer.who}: {answer.status} is not how KairosDB acknowledges")

    def _points(
        self, metric: Metric, device_id: int, from_ms: int, to_ms: int, until_s: float
    ) -> list[Point]:
        convert = float if metric == "Temperature" else int
        values = self._values(metric, device_id, from_ms, to_ms, until_s, [])
        return [Point(device_id, at_ms, convert(value)) for at_ms, value in values]

    def _values(
        self,
        metric: Metric,
        device_id: int | None,
        from_ms: int,
        to_ms: int,
        until_s: float,
        aggregators: list[dict[str, Any]],
    ) -> Iterator[tuple[int, float]]:
        if from_ms >= to_ms:
            return
        wanted: dict[str, Any] = {"name": self._prefix + metric, "aggregators": aggregators}
        if device_id is not None:
            wanted["tags"] = {"device_id": [str(device_id)]}
        body = {"start_absolute": from_ms, "end_absolute": to_ms - 1, "metrics": [wanted]}
        answer = self._service.post(_QUERY, self._encode(body), until_s=until_s)
        _check(answer)
        try:
            found = msgspec.json.decode(answer.body, type=_Found)
        except msgspec.DecodeError as exc:
            raise Unavailable(f"{answer.who}: answered a query with something else") from exc
        for query in found.queries:
            for result in query.results:
                yield from result.values

    def _look_back(self, until_s: float) -> None:
        sample = self._read_back.due(self._clock.monotonic_ms())
        if sample is None:
            return
        device_id, at_ms, _ = sample.point
        try:
            is_found = bool(self._points(sample.metric, device_id, at_ms, at_ms + 1, until_s))
        except Unavailable:
            is_found = False
        verdict = self._read_back.looked(
            sample, is_found=is_found, now_ms=self._clock.monotonic_ms()
        )
        if verdict in ("late", "lost"):
            log.error(
                "verdict=%s metric=%s device=%d at_ms=%d: KairosDB acknowledged it, none can read it",
                verdict,
                sample.metric,
                device_id,
                at_ms,
            )


class _Result(msgspec.Struct):
    values: list[tuple[int, float]]


class _Query(msgspec.Struct):
    results: list[_Result]


class _Found(msgspec.Struct):
    queries: list[_Query]


def _series(metric: Metric, points: Sequence[Point]) -> Series:
    series: Series = {}
    if metric == "Temperature":
        for device_id, at_ms, value in points:
            series.setdefault(device_id, {})[at_ms] = float(value)
    else:
        for device_id, at_ms, value in points:
            series.setdefault(device_id, {})[at_ms] = value
    return series


def _aggregators(name: Aggregator, bucket_ms: int) -> list[dict[str, Any]]:
    return [{"name": name, "sampling": {"value": bucket_ms, "unit": "milliseconds"}}]


def _check(answer: Answer) -> None:
    # Points are checked before: whatever it refuses is about the certificate, the address, the size.
    answer.check_taken(also_away=range(400, 500))
