"""A report's good readings survive whatever stands beside them."""

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox import Row
from gateway.output.reports import Envelope
from gateway.settings import GatewaySettings, SettingsError
from qold.domain.readings import MAX_REPORT_READINGS
from qold.reports import MAX_REPORT_BYTES, NewerVersion, Oversized, Unreadable, open_report

GOOD = {"temp": 4.21, "time": 1795456000, "batt": 88, "seq": 17}


def report(*readings, gateway=None, device=None, **extra) -> bytes:
    gateway = gateway or {"id": 1, "auth": "ab" * 20}
    device = device or {"id": 123, "auth": 789}
    batches = [{"device": device, "readings": list(readings)}]
    return json.dumps({"v": 1, "gateway": gateway, "batches": batches, **extra}).encode()


def temps(opened) -> list:
    return [reading.temp for claim in opened.claims for reading in claim.readings]


def test_the_report_of_the_wire_format():
    opened = open_report(report(GOOD, {**GOOD, "temp": None, "batt": None, "door": True}))
    assert (opened.gateway_id, opened.gateway_token) == (1, "ab" * 20)
    (claim,) = opened.claims
    assert (claim.device_id, claim.token) == (123, "789")
    assert [r.index for r in claim.readings] == [0, 1]
    assert [(r.temp, r.batt, r.door) for r in claim.readings] == [
        (4.21, 88, False),
        (None, None, True),
    ]
    assert opened.faults == []


def test_the_single_message_of_the_source_with_its_gateway():
    message = {
        "gateway": {"id": 1, "auth": "x"},
        "device": {"id": 123, "auth": "789"},
        "reading": {"temp": 15, "time": 1795456000, "batt": 75},
    }
    opened = open_report(json.dumps(message).encode())
    assert temps(opened) == [15.0]
    assert opened.claims[0].token == "789"


def test_unknown_fields_are_ignored():
    opened = open_report(report({**GOOD, "humidity": {"deep": [1]}}, firmware="9.9"))
    assert temps(opened) == [4.21]


BAD_READINGS = {
    "wrong type": {**GOOD, "temp": "cold"},
    "text of a megabyte": {**GOOD, "temp": "x" * 2**20},
    "missing time": {"temp": 4.0, "batt": 1},
    "NaN": {**GOOD, "temp": math.nan},
    "Infinity": {**GOOD, "temp": math.inf},
    "too cold": {**GOOD, "temp": -400.0},
    "battery": {**GOOD, "batt": 101},
    "negative battery": {**GOOD, "batt": -1},
    "boolean battery": {**GOOD, "batt": True},
    "sequence": {**GOOD, "seq": 65536},
    "huge time": {**GOOD, "time": 10**40},
    "fractional time": {**GOOD, "time": 1795456000.5},
    "not an object": [1, 2],
    "null": None,
    "half a character": {**GOOD, "temp": "\ud800"},
}


@pytest.mark.parametrize("bad", BAD_READINGS.values(), ids=BAD_READINGS.keys())
def test_a_bad_reading_is_a_fault_and_its_neighbours_are_stored(bad):
    opened = open_report(report(GOOD, bad, {**GOOD, "temp": 5.0}))
    assert temps(opened) == [4.21, 5.0]
    assert [r.index for c in opened.claims for r in c.readings] == [0, 2]
    (fault,) = opened.faults
    assert (fault.index, fault.device_id) == (1, 123)
    assert fault.detail


@pytest.mark.parametrize(
    "device",
    [{"auth": 1}, {"id": 0, "auth": 1}, {"id": 2**31, "auth": 1}, {"id": "1", "auth": 1}, {"id": 1},
     {"id": 1, "auth": "x" * 65}, {"id": 1, "auth": "\udfff"}, {"id": 1, "auth": None}, {"id": 1.5, "auth": 1}],
    ids=str,
)  # fmt: skip
def test_a_batch_with_a_bad_device_is_refused_reading_by_reading(device):
    """Bad input: id missing, 0, above Cassandra's int, text, no token, long token, half a
    character, null, float."""
    value = report(GOOD, GOOD, device=device)
    good = json.loads(report(GOOD))["batches"]
    value = json.dumps(
        {**json.loads(value), "batches": json.loads(value)["batches"] + good}
    ).encode()
    opened = open_report(value)
    assert [fault.index for fault in opened.faults] == [0, 1]
    assert temps(opened) == [4.21]
    assert opened.claims[0].readings[0].index == 2


def test_a_key_given_twice_is_refused_not_guessed():
    twice = b'{"temp":4.0,"temp":99.0,"time":1795456000,"batt":1}'
    value = report(GOOD, GOOD).replace(json.dumps(GOOD).encode(), twice, 1)
    opened = open_report(value)
    assert temps(opened) == [4.21]
    assert [fault.index for fault in opened.faults] == [0]


@pytest.mark.parametrize(
    "value",
    [b"", b"not json", b"[]", b"null", b"1e999", b"\xff\xfe{}", b'{"a":"\xff"}', b'{"v":1}', b"[" * 100_000,
     b'{"a":' * 50_000, b"9" * 10_000, b'{"v":1,"gateway":{"id":1,"auth":"x"},"gateway":{}}',
     b'{"v":"1","gateway":{"id":1,"auth":"x"},"batches":[]}',
     b'{"v":0,"gateway":{"id":1,"auth":"x"},"batches":[]}',
     b'{"v":1,"gateway":{"id":0,"auth":"x"},"batches":[]}'],
    ids=lambda value: repr(value[:24]),
)  # fmt: skip
def test_what_cannot_be_read_at_all(value):
    """Bad input: empty, text, wrong shapes, bad UTF-8, deep nesting, huge numbers, double keys."""
    with pytest.raises(Unreadable):
        open_report(value)


def test_the_place_of_the_error_is_told():
    with pytest.raises(Unreadable) as refused:
        open_report(b'{"v":1, oops}')
    assert refused.value.position == 8


def test_too_large():
    with pytest.raises(Oversized, match=f"{MAX_REPORT_BYTES + 1} bytes are more than"):
        open_report(b"x" * (MAX_REPORT_BYTES + 1))


def test_a_newer_version_is_told_apart():
    with pytest.raises(NewerVersion):
        open_report(report(GOOD).replace(b'"v": 1', b'"v": 2'))


def test_readings_of_an_unusable_report_are_counted():
    value = report(GOOD, GOOD, GOOD, gateway={"id": -1, "auth": "x"})
    with pytest.raises(Unreadable) as refused:
        open_report(value)
    assert refused.value.readings == 3


DEVICE = {"id": 123, "auth": 789}
TOO_MANY = {
    "readings of one device": [{"device": DEVICE, "readings": [GOOD] * 11}],
    "readings of many devices": [{"device": {"id": n, "auth": 1}, "readings": [GOOD] * 3} for n in range(1, 5)],
    "batches without a reading": [{"device": DEVICE, "readings": []}] * 11,
    "empty lists": [[]] * 11,
    "nulls": [None] * 11,
    "malformed readings": [{"device": DEVICE, "readings": [[]] * 11}],
    "readings of no device": [{"readings": [GOOD] * 11}],
}  # fmt: skip


@pytest.mark.parametrize("batches", TOO_MANY.values(), ids=TOO_MANY.keys())
def test_a_report_beyond_the_limit_is_refused_whole(batches):
    value = json.dumps({"v": 1, "gateway": {"id": 7, "auth": "x"}, "batches": batches}).encode()
    with pytest.raises(Oversized) as refused:
        open_report(value, 10)
    assert refused.value.gateway.id == 7
    assert [fault.index for fault in refused.value.first] == list(range(len(refused.value.first)))
    assert len(refused.value.first) <= 10
    open_report(value, 12)


def test_what_a_refused_report_shows_is_judged_reading_by_reading():
    value = report(GOOD, {**GOOD, "batt": 101}, *[GOOD] * 20)
    with pytest.raises(Oversized) as refused:
        open_report(value, 10)
    assert refused.value.readings == 22
    assert [bool(fault.detail) for fault in refused.value.first] == [False, True, *[False] * 8]
    assert {fault.device_id for fault in refused.value.first} == {123}


def test_the_largest_report_that_a_gateway_can_be_set_to_make_is_opened(tmp_path):
    """The two limits are in two programs: a backlog must never be refused for its size."""
    file = tmp_path / "gateway.toml"

    def settings(readings):
        file.write_text(
            f'[gateway]\nid = 1\ntoken = "{"ab" * 20}"\n[uplink]\nurl = "sqlite:///a/log.db"\n'
            f"[output]\nmax_report_readings = {readings}\n"
        )
        return GatewaySettings.load(file)

    most = settings(MAX_REPORT_READINGS).max_report_readings
    with pytest.raises(SettingsError):
        settings(MAX_REPORT_READINGS + 1)
    # The longest reading that a frame can hold, each of another device with the longest token.
    rows = [
        Row(
            number,
            1795456000,
            json.dumps(
                {
                    "device": {"id": 2**31 - 1 - number, "auth": 2**53 - 1},
                    "reading": {
                        "temp": -327.67,
                        "time": 1795456000,
                        "batt": 100,
                        "seq": 65535,
                        "door": True,
                        "defrost": True,
                    },
                }
            ),
            "reports",
        )
        for number in range(most)
    ]
    (message,) = Envelope(2**31 - 1, "ab" * 20, max_readings=most).messages(rows, sent=1795456000)
    opened = open_report(message.value)
    assert len(temps(opened)) == most
    assert opened.faults == []


def test_a_newer_version_still_names_its_gateway():
    with pytest.raises(NewerVersion) as refused:
        open_report(report(GOOD).replace(b'"v": 1', b'"v": 2'))
    assert refused.value.gateway.id == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["v", "gateway", "device", "id", "auth", "batches", "readings", "temp", "time"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(json_values)
def test_any_json_is_opened_or_refused(value):
    try:
        opened = open_report(json.dumps(value).encode())
    except (Unreadable, NewerVersion):
        return
    for claim in opened.claims:
        assert 1 <= claim.device_id < 2**31


@given(st.binary(max_size=200))
def test_any_bytes_are_opened_or_refused(value):
    with contextlib.suppress(Unreadable, NewerVersion):
        open_report(value)
