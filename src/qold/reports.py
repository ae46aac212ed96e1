"""Taking a report apart: what it claims, and what in it can never be used (inventory A2, A21).

The quick way decodes the whole report by type. Whatever that cannot vouch for, a wrong type, a NaN,
a key given twice, goes the careful way, which judges every reading by itself so that its
neighbours are stored.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, islice
from typing import Any, ClassVar

import msgspec

from qold.domain.log_limits import MAX_VALUE_BYTES
from qold.domain.readings import MAX_REPORT_READINGS
from qold.records import (
    UNDECODABLE,
    VERSION,
    Credentials,
    Reading,
    decode_report,
)
from qold.rows import ClaimedReading

MAX_REPORT_BYTES = MAX_VALUE_BYTES
MAX_TOKEN_LENGTH = 64
# Readings that a record shows of a report that is refused whole: enough to see the pattern.
SHOWN = 10


@dataclass(slots=True)
class Claim:
    """The readings of one device in a report; `token` as it was sent."""

    device_id: int
    token: str
    readings: list[ClaimedReading]


@dataclass(slots=True)
class Fault:
    """A reading that is malformed; `message` has the source's shape and still holds its token."""

    index: int
    detail: str
    device_id: int | None
    message: dict[str, Any]


@dataclass(slots=True)
class OpenedReport:
    """A report's parts; readings count through the whole report, in order."""

    gateway_id: int
    gateway_token: str
    claims: list[Claim] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


class Unreadable(ValueError):
    """A report of which nothing is used; `position` is the byte where reading stopped, if known.

    `gateway` is what it claims, where that could be read; `first` are its first readings, a
    well-formed one without detail.
    """

    reason: ClassVar[str] = "malformed"

    def __init__(
        self,
        detail: str,
        position: int | None = None,
        readings: int = 1,
        gateway: Credentials | None = None,
        first: Sequence[Fault] = (),
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.position = position
        self.readings = readings
        self.gateway = gateway
        self.first = first


class NewerVersion(Unreadable):
    """A report of a version this code does not know."""

    reason = "newer-version"


class Oversized(Unreadable):
    """A report of more bytes, readings or batches than a report may have."""

    reason = "oversized"


def open_report(value: bytes, max_readings: int = MAX_REPORT_READINGS) -> OpenedReport:
    """Take a report apart; raises `Unreadable`, `NewerVersion` or `Oversized`."""
    if len(value) > MAX_REPORT_BYTES:
        raise Oversized(f"{len(value)} bytes are more than {MAX_REPORT_BYTES}")
    try:
        report = decode_report(value)
    except UNDECODABLE:
        return _open_carefully(value, max_readings)
    if report.v != VERSION or not _is_plain(report.gateway):
        return _open_carefully(value, max_readings)
    if max(len(report.batches), sum(len(b.readings) for b in report.batches)) > max_readings:
        return _open_carefully(value, max_readings)
    opened = OpenedReport(report.gateway.id, str(report.gateway.auth))
    index = 0
    for batch in report.batches:
        if not _is_plain(batch.device):
            return _open_carefully(value, max_readings)
        readings = [_claimed(n, reading) for n, reading in enumerate(batch.readings, index)]
        index += len(readings)
        opened.claims.append(Claim(batch.device.id, str(batch.device.auth), readings))
    return (
        opened
        if _has_single_keys(value, len(report.batches), index)
        else _open_carefully(value, max_readings)
    )


def _is_plain(credentials: Credentials) -> bool:
    token = str(credentials.auth)
    return len(token) <= MAX_TOKEN_LENGTH and token.isascii()


def _claimed(index: int, reading: Reading) -> ClaimedReading:
    return ClaimedReading(
        index,
        reading.temp,
        reading.time,
        reading.batt,
        reading.seq,
        reading.door,
        reading.defrost,
    )


def _has_single_keys(value: bytes, batches: int, readings: int) -> bool:
    # A decoder keeps the last of two equal keys. Counting finds a report where that may matter.
    return (
        value.count(b'"temp"') == readings
        and value.count(b'"time"') == readings
        and value.count(b'"batt"') == readings
        and value.count(b'"seq"') <= readings
        and value.count(b'"id"') == batches + 1
        and value.count(b'"auth"') == batches + 1
        and value.count(b'"gateway"') == 1
        and value.count(b'"batches"') == 1
        and value.count(b'"v"') == 1
    )


class _Twice(dict[str, Any]):
    """A JSON object in which a key was given twice."""


def _open_carefully(value: bytes, max_readings: int) -> OpenedReport:
    try:
        report = json.loads(value.decode("utf-8"), object_pairs_hook=_keep_doubles)
    except UnicodeDecodeError as exc:
        raise Unreadable("not UTF-8", exc.start) from exc
    except json.JSONDecodeError as exc:
        raise Unreadable("not JSON", exc.pos) from exc
    except (RecursionError, ValueError) as exc:
        raise Unreadable(f"not JSON: {type(exc).__name__}") from exc
    if not isinstance(report, dict) or isinstance(report, _Twice):
        raise Unreadable("not an object with single keys")
    version = report.get("v", VERSION)
    gateway = _convert(report.get("gateway"), Credentials)
    if isinstance(version, int) and version > VERSION:
        claimed = gateway if isinstance(gateway, Credentials) and _is_plain(gateway) else None
        raise NewerVersion(
            "written by a newer Qold; drive it again after the upgrade", gateway=claimed
        )
    batches = _batches(report)
    readings = sum(1 for batch in batches for _ in _readings(batch))
    if version != VERSION or not isinstance(gateway, Credentials):
        raise Unreadable("v or gateway is missing or wrong", readings=readings or 1)
    if not _is_plain(gateway):
        raise Unreadable("gateway token is too long or not ASCII", readings=readings or 1)
    if max(len(batches), readings) > max_readings:
        detail = f"{readings} readings in {len(batches)} batches are more than {max_readings}"
        raise Oversized(detail, readings=readings or 1, gateway=gateway, first=_first(batches))
    opened = OpenedReport(gateway.id, str(gateway.auth))
    indices = count()
    for batch in batches:
        device, good = None, []
        for device, judged in _judge_batch(batch, indices):  # noqa: B007  # one for the batch
            if isinstance(judged, Fault):
                opened.faults.append(judged)
            else:
                good.append(judged)
        if good and device is not None:
            opened.claims.append(Claim(device.id, str(device.auth), good))
    return opened


def _judge_batch(
    batch: Any, indices: Iterator[int]
) -> Iterator[tuple[Credentials | None, ClaimedReading | Fault]]:
    """Each reading of a batch, or what is wrong with it, beside their device if that can be read."""
    sent_device = batch.get("device") if isinstance(batch, dict) else None
    device = _convert(sent_device, Credentials)
    detail = "" if isinstance(device, Credentials) else f"device: {device}"
    if isinstance(device, Credentials) and not _is_plain(device):
        detail = "device token is too long or not ASCII"
    known = device if isinstance(device, Credentials) else None
    for sent, index in zip(_readings(batch), indices, strict=False):
        reading = detail or _convert(sent, Reading)
        if isinstance(reading, Reading):
            yield known, _claimed(index, reading)
        else:
            message = {"device": sent_device, "reading": sent}
            yield known, Fault(index, reading, known.id if known else None, message)


def _first(batches: list[Any]) -> list[Fault]:
    indices = count()
    judgements = chain.from_iterable(_judge_batch(batch, indices) for batch in batches)
    return [
        judged
        if isinstance(judged, Fault)
        else Fault(judged.index, "", device.id if device else None, {})
        for device, judged in islice(judgements, SHOWN)
    ]


def _convert(sent: Any, kind: type[Any]) -> Any:
    """An instance of `kind`, or text saying what is wrong."""
    if isinstance(sent, _Twice):
        return "a key is given twice"
    try:
        return msgspec.convert(sent, kind)
    except (msgspec.ValidationError, UnicodeEncodeError) as exc:  # JSON can spell half a character
        return str(exc)


def _batches(report: dict[str, Any]) -> list[Any]:
    batches = report.get("batches")
    if isinstance(batches, list):
        return batches
    return [report] if batches is None else [batches]


def _readings(batch: Any) -> Iterator[Any]:
    readings = batch.get("readings") if isinstance(batch, dict) else None
    if isinstance(readings, list):
        yield from readings
    else:
        yield batch.get("reading", readings) if isinstance(batch, dict) else batch


def _keep_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    return keys if len(keys) == len(pairs) else _Twice(keys)
