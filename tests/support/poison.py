"""Records that a hostile gateway leaves at the head of a partition, and what each must come to."""

import json
from dataclasses import dataclass
from typing import Any

from tests.support.pipeline import NOW_S, make_batch, make_reading, make_report

# Bytes that a bomb unpacks to: more than a batch may (`qold.domain.log_limits`).
BOMB_BYTES = 24 * 2**20
CODECS = ("gzip", "snappy", "lz4", "zstd")


@dataclass(frozen=True)
class Poison:
    """One record; `reason` of its only rejection, empty for none. `codec` is for Kafka."""

    name: str
    value: bytes | None
    reason: str = "malformed"
    key: bytes | None = b"k"
    codec: str = "zstd"
    is_transaction: bool = False


def plain_poison() -> list[Poison]:
    """What is no record of any topic."""
    return [
        *(Poison(f"{codec} bomb", bytes(BOMB_BYTES), "oversized", codec=codec) for codec in CODECS),
        Poison("5 MiB", b" " * (5 * 2**20), "oversized"),
        Poison("2 M brackets", b"[" * 2_000_000),
        Poison("700 000 objects", b'{"a":' * 700_000),
        Poison("surrogates as bytes", b'"\xed\xa0\x80"'),
        Poison("surrogates as escapes", b'{"v":1,"\\ud800":"\\udfff","gateway":"\\ud800"}'),
        Poison("null value", None),
        Poison("nothing", b""),
        Poison("UTF-16", '{"v":1}'.encode("utf-16")),
        Poison("control batch", b'"in a transaction"', is_transaction=True),
        Poison("newer version", b'{"v":2,"news":true}', "newer-version"),
        Poison("bare NaN", b"NaN"),
        Poison("endless number", b"9" * 6000),
        Poison("not an object", b"true"),
    ]


def report_poison(gateway: Any, device: Any) -> list[Poison]:
    """Odd JSON in a report, behind credentials that are right."""

    def report(reading: str, *, auth: str = "", device_id: str = "", **more: str) -> bytes:
        whole = make_report(gateway, make_batch(device, {"R": 1})).decode()
        whole = whole.replace('{"R": 1}', reading)
        if device_id:
            whole = whole.replace(
                f'"device": {{"id": {device.id}', f'"device": {{"id": {device_id}'
            )
        if auth:
            whole = whole.replace(json.dumps(device.auth), auth)
        return whole.encode()

    good = json.dumps(make_reading())
    valid = report(good)
    deep = "[" * 100_000 + "]" * 100_000

    def with_temp(temp: str) -> bytes:
        return report(f'{{"temp":{temp},"time":{NOW_S},"batt":88}}')

    return [
        *plain_poison(),
        Poison("no key", valid, "", key=None),
        Poison("NaN", with_temp("NaN")),
        Poison("-Infinity", with_temp("-Infinity")),
        Poison("1e999", with_temp("1e999")),
        Poison("huge integer", with_temp("9" * 400)),
        Poison("integer of 5 000 digits", with_temp("9" * 5000)),
        Poison("key twice", report(f'{{"temp":1,"temp":2,"time":{NOW_S},"batt":88}}')),
        Poison("BOM", b"\xef\xbb\xbf" + valid),
        Poison("garbage behind", valid + b"\0x"),
        Poison("two values", valid + valid),
        Poison("deep reading", with_temp(deep)),
        Poison("deep unknown field", report(f'{good[:-1]},"more":{deep}}}')),
        Poison("key of 1 MiB", report(f'{{"temp":"x","{"k" * 2**20}":1}}')),
        Poison("surrogate in a reading", with_temp('"\\ud800"')),
        Poison("surrogate as a token", report(good, auth='"\\ud800"')),
        Poison("id as a float", report(good, device_id=f"{device.id}.5")),
        Poison("id as a bool", report(good, device_id="true")),
        Poison("id beyond 64 bits", report(good, device_id="9" * 30)),
        Poison("no batches", make_report(gateway), ""),
        Poison("batch of no readings", make_report(gateway, make_batch(device)), ""),
    ]


def event_poison(gateway: Any) -> list[Poison]:
    """Odd JSON in a gateway's event, behind credentials that are right."""

    def event(data: str, kind: str = '"odd"', time: str = str(NOW_S)) -> bytes:
        head = f'{{"v":1,"gateway":{{"id":{gateway.id},"auth":{json.dumps(gateway.auth)}}}'
        return f'{head},"event":{{"kind":{kind},"time":{time},"data":{data}}}}}'.encode()

    deep = "[" * 100_000 + "]" * 100_000
    valid = event("{}")
    return [
        *plain_poison(),
        Poison("no key", valid, "", key=None),
        Poison("NaN", event('{"a":NaN}')),
        Poison("1e999", event('{"a":1e999}')),
        Poison("huge integer", event(f'{{"a":{"9" * 400}}}')),
        Poison("integer of 5 000 digits", event(f'{{"a":{"9" * 5000}}}')),
        Poison("BOM", b"\xef\xbb\xbf" + valid),
        Poison("garbage behind", valid + b"\0x"),
        Poison("deep data", event(f'{{"a":{deep}}}')),
        Poison("deep unknown field", event(f'{{}},"more":{deep}')),
        Poison("surrogate as a kind", event("{}", '"\\ud800"')),
        Poison("surrogate as a key", event('{"\\ud800":1}')),
        Poison("surrogate as a value", event('{"a":"\\ud800"}')),
        Poison("time as a float", event("{}", time="1.5")),
        Poison("id as a bool", valid.replace(b'"id":%d' % gateway.id, b'"id":true')),
        Poison("text of 1 MiB", event(f'{{"a":"{"x" * 2**20}"}}')),
    ]


def config_poison() -> list[Poison]:
    """Odd JSON in a change of the registry; a null or empty value is a tombstone."""

    def change(identity: str, resource: str = '"device"') -> bytes:
        return f'{{"v":1,"resource":{resource},"id":{identity},"time":{NOW_S}}}'.encode()

    return [
        *(poison for poison in plain_poison() if poison.name not in ("null value", "nothing")),
        Poison("tombstone", None, ""),
        Poison("NaN", change("NaN")),
        Poison("1e999", change("1e999")),
        Poison("huge integer", change("9" * 5000)),
        Poison("id as a float", change("1.5")),
        Poison("id as a bool", change("true")),
        Poison("surrogate as a resource", change("1", '"\\ud800"')),
        Poison("deep resource", change("1", "[" * 100_000)),
        Poison("BOM", b"\xef\xbb\xbf" + change("1")),
        Poison("garbage behind", change("1") + b"\0x"),
    ]
