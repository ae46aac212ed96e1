"""Taking a report apart: what it claims, and what in it can never be used (inventory A2, A21).

The quick way decodes the whole report by type. Whatever that cannot vouch for, a wrong type, a NaN,
a key given twice, goes the careful way, which judges every reading by itself so that its
neighbours are stored.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from qold.records import (
    UNDECODABLE,
    VERSION,
    Credentials,
    Reading,
    decode_report,
)
from qold.rows import ClaimedReading

MAX_REPORT_BYTES = 4 * 2**20
MAX_TOKEN_LENGTH = 64


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
    """Nothing of the value can be used; `position` is the byte where reading stopped, if known."""

    def __init__(self, detail: str, position: int | None = None, readings: int = 1) -> None:
        super().__init__(detail)
        self.detail = detail
        self.position = position
        self.readings = readings


class NewerVersion(ValueError):
    """A report of a version this code does not know."""


def open_report(value: bytes) -> OpenedReport:
    """Take a report apart; raises `Unreadable` or `NewerVersion`."""
    if len(value) > MAX_REPORT_BYTES:
        raise Unreadable(f"{len(value)} bytes are more than {MAX_REPORT_BYTES}")
    try:
        report = decode_report(value)
    except UNDECODABLE:
        return _open_carefully(value)
    if report.v != VERSION or not _is_plain(report.gateway):
        return _open_carefully(value)
    opened = OpenedReport(report.gateway.id, str(report.gateway.auth))
    index = 0
    for batch in report.batches:
        if not _is_plain(batch.device):
            return _open_carefully(value)
        readings = [_claimed(n, reading) for n, reading in enumerate(batch.readings, index)]
        index += len(readings)
        opened.claims.append(Claim(batch.device.id, str(batch.device.auth), readings))
    return opened if _has_single_keys(value, len(report.batches), index) else _open_carefully(value)


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


def _open_carefully(value: bytes) -> OpenedReport:
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
    if isinstance(version, int) and version > VERSION:
        raise NewerVersion(f"version {version}")
    gateway = _convert(report.get("gateway"), Credentials)
    if version != VERSION or not isinstance(gateway, Credentials):
        raise Unreadable("v or gateway is missing or wrong", readings=_count(report))
    if not _is_plain(gateway):
        raise Unreadable("gateway token is too long or not ASCII", readings=_count(report))
    opened = OpenedReport(gateway.id, str(gateway.auth))
    index = 0
    for batch in _batches(report):
        index = _open_batch(opened, batch, index)
    return opened


def _open_batch(opened: OpenedReport, batch: Any, index: int) -> int:
    whole = batch if isinstance(batch, dict) else {}
    device = _convert(whole.get("device"), Credentials)
    sent_device = whole.get("device")
    detail = "" if isinstance(device, Credentials) else f"device: {device}"
    if isinstance(device, Credentials) and not _is_plain(device):
        detail = "device token is too long or not ASCII"
    device_id = device.id if isinstance(device, Credentials) else None
    good = []
    for sent in _readings(batch):
        reading = detail or _convert(sent, Reading)
        if isinstance(reading, Reading):
            good.append(_claimed(index, reading))
        else:
            message = {"device": sent_device, "reading": sent}
            opened.faults.append(Fault(index, reading, device_id, message))
        index += 1
    if good and isinstance(device, Credentials):
        opened.claims.append(Claim(device.id, str(device.auth), good))
    return index


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


def _count(report: dict[str, Any]) -> int:
    return sum(1 for batch in _batches(report) for _ in _readings(batch)) or 1


def _keep_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    return keys if len(keys) == len(pairs) else _Twice(keys)
