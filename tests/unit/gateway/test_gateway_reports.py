"""Outbox rows into published messages: grouped by device, in order, with the gateway's name."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox import Row
from gateway.output.reports import Envelope, Message

GATEWAY = {"id": 1, "auth": "ab" * 20}


def messages(rows: list[Row], *, max_readings: int = 500) -> list[Message]:
    envelope = Envelope(1, "ab" * 20, max_readings=max_readings)
    return list(envelope.messages(rows, sent=1_795_456_010))


def reading(row_id: int, device_id: int = 123, auth: int | str = 789) -> Row:
    content = {
        "device": {"id": device_id, "auth": auth},
        "reading": {"temp": 4.21, "time": 1_795_456_000 + row_id, "batt": 88, "seq": row_id},
    }
    return Row(row_id, 1_795_456_000, json.dumps(content), "reports")


def decoded(message: Message) -> Any:
    return json.loads(message.value)


def test_one_reading_is_the_designs_report() -> None:
    (message,) = messages([reading(17)])
    assert message.value == (
        b'{"v":1,"gateway":{"id":1,"auth":"abababababababababababababababababababab"},'
        b'"sent":1795456010,"batches":[{"device":{"id":123,"auth":789},'
        b'"readings":[{"temp":4.21,"time":1795456017,"batt":88,"seq":17}]}]}'
    )
    assert message.row_ids == (17,)


def test_a_batch_is_one_devices_readings_in_order_of_id() -> None:
    (message,) = messages([reading(1, 5), reading(2, 6), reading(3, 5), reading(4, 6)])
    assert [
        (batch["device"]["id"], [r["seq"] for r in batch["readings"]])
        for batch in decoded(message)["batches"]
    ] == [(5, [1, 3]), (6, [2, 4])]


def test_one_id_with_two_tokens_is_two_batches() -> None:
    (message,) = messages([reading(1), reading(2, auth=790)])
    assert [b["device"]["auth"] for b in decoded(message)["batches"]] == [789, 790]


def test_a_report_holds_no_more_than_it_may() -> None:
    found = messages([reading(n) for n in range(1, 8)], max_readings=3)
    assert [message.row_ids for message in found] == [(1, 2, 3), (4, 5, 6), (7,)]
    assert sum(message.reading_count for message in found) == 7


def test_an_event_gets_its_envelope_and_keeps_its_place() -> None:
    event = {"event": {"kind": "outbox-drop", "time": 1, "data": {"count": 2}}}
    found = messages([reading(1), Row(2, 0, json.dumps(event), "reports"), reading(3)])
    assert decoded(found[1]) == {"v": 1, "gateway": GATEWAY, **event}
    assert [message.row_ids for message in found] == [(1,), (2,), (3,)]


def test_what_is_no_object_is_published_as_it_is() -> None:
    """Tried: not JSON, a list, a number, nothing, deep nesting, readings that are none."""
    deep = "[" * 100_000
    odd = [
        "not json",
        "[1]",
        "7",
        "",
        deep,
        '{"device":1,"reading":{}}',
        '{"device":{"id":[1],"auth":1},"reading":{}}',
        '{"device":{"id":1,"auth":1},"reading":3}',
    ]
    found = messages([reading(1), *(Row(n, 0, text, "t") for n, text in enumerate(odd, 2))])
    assert [message.value.decode() for message in found[1:6]] == odd[:5]
    assert [decoded(message)["gateway"] for message in found[6:]] == [GATEWAY] * 3
    assert [message.row_ids for message in found] == [(n,) for n in range(1, 10)]


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=40), st.integers(1, 7))
def test_every_row_is_carried_once_and_in_order_per_device(
    kinds: list[tuple[int, bool]], max_readings: int
) -> None:
    rows = [
        reading(n, device) if is_reading else Row(n, 0, '{"event":1}', "reports")
        for n, (device, is_reading) in enumerate(kinds, 1)
    ]
    found = messages(rows, max_readings=max_readings)
    assert [row_id for message in found for row_id in message.row_ids] == [row.id for row in rows]
    for device in range(1, 5):
        sequences = [
            r["seq"]
            for message in found
            for batch in decoded(message).get("batches", [])
            if batch["device"]["id"] == device
            for r in batch["readings"]
        ]
        assert sequences == [n for n, kind in enumerate(kinds, 1) if kind == (device, True)]
