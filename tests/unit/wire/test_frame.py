"""The two frames of the radio link against the design's vectors, and every refusal by kind."""

import json
from pathlib import Path
from typing import Any

import pytest
from cobs import cobs

from qold.wire import (
    Ack,
    Frame,
    FrameError,
    Item,
    MalformedFrame,
    WrongCount,
    WrongCrc,
    WrongLength,
    WrongRange,
    WrongType,
    WrongVersion,
    decode,
    encode,
)
from qold.wire.crc import crc16

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "frame-v1.json").read_text(encoding="utf-8")
)["vectors"]


def frame_of(vector: dict[str, Any]) -> Frame:
    items = tuple(Item(**item) for item in vector["items"])
    return Frame(vector["device_id"], vector["token"], vector["sequence"], items)


def content_of(**changes: bytes) -> bytes:
    """The first vector's content with some bytes replaced and the CRC made right again."""
    content = bytearray.fromhex(VECTORS[0]["frame"]["content"])
    for name, value in changes.items():
        offset = {"version": 0, "kind": 1, "device_id": 2, "token": 6, "count": 16}[name]
        content[offset : offset + len(value)] = value
    return with_crc(bytes(content[:-2]))


def with_crc(content: bytes) -> bytes:
    return content + crc16(content).to_bytes(2, "big")


def test_crc_has_the_check_value_of_ccitt_false() -> None:
    assert crc16(b"123456789") == 0x29B1


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
class TestVectors:
    def test_frame_to_bytes_and_back(self, vector: dict[str, Any]) -> None:
        content = bytes.fromhex(vector["frame"]["content"])
        assert frame_of(vector).to_bytes() == content
        assert Frame.from_bytes(content) == frame_of(vector)

    def test_ack_to_bytes_and_back(self, vector: dict[str, Any]) -> None:
        content = bytes.fromhex(vector["ack"]["content"])
        assert frame_of(vector).ack().to_bytes() == content
        assert Ack.from_bytes(content) == frame_of(vector).ack()

    def test_line_has_one_zero_and_it_is_the_last_byte(self, vector: dict[str, Any]) -> None:
        for name, value in (("frame", frame_of(vector)), ("ack", frame_of(vector).ack())):
            line = encode(value)
            assert line.hex() == vector[name].get("line", line.hex())
            assert line.count(0) == 1
            assert line[-1] == 0
            assert decode(line[:-1]) == value


def test_items_count_on_across_the_wrap_and_read_their_flags() -> None:
    frame = frame_of(VECTORS[1])
    assert [frame.item_sequence(i) for i in range(3)] == [65535, 0, 1]
    assert [item.celsius for item in frame.items] == [-18.5, -17.9, None]
    assert [item.is_door_open for item in frame.items] == [False, True, False]
    assert [item.is_defrosting for item in frame.items] == [False, False, True]


REFUSED = {
    "newer version": (content_of(version=b"\x02"), WrongVersion),
    "version goes before type": (content_of(version=b"\x02", kind=b"\x09"), WrongVersion),
    "unknown type": (content_of(kind=b"\x02"), WrongType),
    "type goes before n": (content_of(kind=b"\x02", count=b"\x00"), WrongType),
    "no items": (content_of(count=b"\x00"), WrongCount),
    "33 items": (content_of(count=b"\x21"), WrongCount),
    "n says more than there is": (content_of(count=b"\x02"), WrongLength),
    "empty": (b"", WrongLength),
    "one byte": (b"\x01", WrongLength),
    "half a head": (content_of()[:9], WrongLength),
    "half an item": (with_crc(content_of()[:20]), WrongLength),
    "a zero appended, which the CRC alone accepts": (content_of() + b"\x00", WrongLength),
    "wrong CRC": (content_of()[:-1] + b"\x00", WrongCrc),
    "device 0": (content_of(device_id=bytes(4)), WrongRange),
    "device 2**31": (content_of(device_id=b"\x80\x00\x00\x00"), WrongRange),
    "token 0": (content_of(token=bytes(8)), WrongRange),
    "token 2**53": (content_of(token=b"\x00\x20" + bytes(6)), WrongRange),
    "ack of 0 items": (with_crc(bytes.fromhex("01060000007b000000")), WrongCount),
    "ack of 33 items": (with_crc(bytes.fromhex("01060000007b000021")), WrongCount),
    "ack too long": (with_crc(bytes.fromhex("01060000007b00000100")), WrongLength),
    "ack of device 0": (with_crc(bytes.fromhex("010600000000000001")), WrongRange),
}


@pytest.mark.parametrize(("content", "error"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(content: bytes, error: type[FrameError]) -> None:
    assert content[-2:] == crc16(content[:-2]).to_bytes(2, "big") or error in (
        WrongCrc,
        WrongLength,
    )
    with pytest.raises(error) as caught:
        decode(cobs.encode(content))
    assert type(caught.value) is error
    assert caught.value.expected in str(caught.value)
    assert caught.value.received in str(caught.value)


def test_wrong_crc_names_both() -> None:
    with pytest.raises(WrongCrc, match=r"expected CRC 0x28dc, received 0x2800"):
        Frame.from_bytes(content_of()[:-1] + b"\x00")


@pytest.mark.parametrize("line", [b"\x05ab", b"\x01\x02", b"\xff"])
def test_not_cobs(line: bytes) -> None:
    with pytest.raises(MalformedFrame):
        decode(line)


def test_a_refused_token_is_not_in_the_message() -> None:
    with pytest.raises(WrongRange) as caught:
        Frame(1, 2**53, 0, (Item(0, 0, 0),)).to_bytes()
    assert str(2**53) not in str(caught.value)


@pytest.mark.parametrize(
    "item",
    [
        Item(-1, 0, 0),
        Item(65536, 0, 0),
        Item(0, -32768, 0),
        Item(0, 32768, 0),
        Item(0, 0, -1),
        Item(0, 0, 255),
        Item(0, 0, 0, 256),
    ],
)
def test_an_item_that_does_not_fit_is_not_written(item: Item) -> None:
    with pytest.raises(WrongRange):
        Frame(1, 1, 0, (item,)).to_bytes()


@pytest.mark.parametrize("count", [0, 33])
def test_a_frame_of_no_or_too_many_items_is_not_written(count: int) -> None:
    with pytest.raises(WrongCount):
        Frame(1, 1, 0, (Item(0, 0, 0),) * count).to_bytes()


def test_the_page_on_formats_shows_these_vectors() -> None:
    page = (Path(__file__).parents[3] / "docs" / "wire-format.md").read_text(encoding="utf-8")
    shown = [text for v in VECTORS for kind in ("frame", "ack") for text in v[kind].values()]
    assert [text for text in shown if f"`{text}`" not in page] == []
