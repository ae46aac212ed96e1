"""The reader under attack: chunks, noise, flips, lost delimiters; nothing wrong is ever accepted."""

import json
import random
import tracemalloc
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qold.wire import Ack, Frame, FrameReader, Item, encode
from qold.wire.frame import MAX_ENCODED_BYTES, MAX_FRAME_BYTES

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "frame-v1.json").read_text(encoding="utf-8")
)["vectors"]
FRAMES = [
    Frame(v["device_id"], v["token"], v["sequence"], tuple(Item(**i) for i in v["items"]))
    for v in VECTORS
]
GOOD = FRAMES[0]
LARGEST = Frame(2**31 - 1, 2**53 - 1, 65535, (Item(65535, None, None, 255),) * 32)

items = st.builds(
    Item,
    st.integers(0, 65535),
    st.none() | st.integers(-32767, 32767),
    st.none() | st.integers(0, 254),
    st.integers(0, 255),
)
frames = st.builds(
    Frame,
    st.integers(1, 2**31 - 1),
    st.integers(1, 2**53 - 1),
    st.integers(0, 65535),
    st.lists(items, min_size=1, max_size=32).map(tuple),
)
acks = st.builds(Ack, st.integers(1, 2**31 - 1), st.integers(0, 65535), st.integers(1, 32))


@pytest.mark.parametrize("frame", [*FRAMES, FRAMES[0].ack(), LARGEST])
def test_whole_and_byte_by_byte(frame: Frame | Ack) -> None:
    reader = FrameReader()
    assert reader.feed(encode(frame)) == [frame]
    assert [found for byte in encode(frame) for found in reader.feed(bytes([byte]))] == [frame]


def test_several_frames_in_one_read() -> None:
    reader = FrameReader()
    sent = [*FRAMES, LARGEST, FRAMES[0].ack()]
    assert reader.feed(b"".join(encode(frame) for frame in sent)) == sent
    assert reader.counters.frames == 3
    assert reader.counters.acks == 1


@pytest.mark.parametrize("garbage", [b"\xff" * 7, b"\x00\x00\x00", b"qold", bytes(range(1, 256))])
def test_garbage_before_costs_nothing_after_a_delimiter(garbage: bytes) -> None:
    assert FrameReader().feed(garbage + b"\x00" + encode(GOOD)) == [GOOD]


def test_garbage_without_a_delimiter_costs_one_frame() -> None:
    reader = FrameReader()
    assert reader.feed(b"\xff\xff" + encode(GOOD) + encode(GOOD)) == [GOOD]


@pytest.mark.parametrize("frame", FRAMES)
def test_every_truncation_is_refused_and_the_next_frame_is_read(frame: Frame) -> None:
    line = encode(frame)[:-1]
    for length in range(1, len(line)):
        reader = FrameReader()
        assert reader.feed(line[:length] + b"\x00") == []
        assert reader.feed(encode(GOOD)) == [GOOD]


@pytest.mark.parametrize("frame", FRAMES)
def test_a_lost_delimiter_costs_the_two_frames_it_was_between(frame: Frame) -> None:
    reader = FrameReader()
    assert reader.feed(encode(frame)[:-1] + encode(GOOD) + encode(GOOD)) == [GOOD]


def test_a_frame_interrupted_is_forgotten_by_reset() -> None:
    reader = FrameReader()
    reader.feed(encode(GOOD)[:9])
    reader.reset()
    assert reader.feed(encode(GOOD)) == [GOOD]


def flipped(line: bytes, bits: int) -> Iterator[bytes]:
    for positions in combinations(range(len(line) * 8), bits):
        damaged = bytearray(line)
        for position in positions:
            damaged[position // 8] ^= 1 << position % 8
        yield bytes(damaged)


@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize("frame", [*FRAMES, *(frame.ack() for frame in FRAMES)])
def test_no_flip_on_the_line_is_accepted(frame: Frame | Ack, bits: int) -> None:
    """Every bit and pair of bits, the delimiter's too; a flip may also create a delimiter."""
    for line in flipped(encode(frame), bits):
        assert FrameReader().feed(line + b"\x00") == []


def test_ten_megabytes_of_noise_within_bounded_memory() -> None:
    noise = random.Random(1)
    reader = FrameReader()
    chunk = 4096
    reader.feed(noise.randbytes(chunk))
    tracemalloc.start()
    try:
        accepted = [
            frame
            for _ in range(10 * 2**20 // chunk)
            for frame in reader.feed(noise.randbytes(chunk))
        ]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert accepted == []
    assert peak < 100_000
    assert sum(getattr(reader.counters, name) for name in reader.counters.__slots__) > 10_000
    assert reader.feed(b"\x00" + encode(GOOD)) == [GOOD]


def test_ten_megabytes_without_a_delimiter_are_one_overlong_frame() -> None:
    reader = FrameReader()
    for _ in range(10):
        assert reader.feed(b"\xaa" * 2**20) == []
    assert len(reader._buffer) <= MAX_ENCODED_BYTES
    assert reader.counters.overlong == 1
    assert reader.feed(b"\x00" + encode(GOOD)) == [GOOD]


def test_the_largest_frame_fits_the_buffer_exactly() -> None:
    assert len(LARGEST.to_bytes()) == MAX_FRAME_BYTES == 211
    assert len(encode(LARGEST)) - 1 == MAX_ENCODED_BYTES


@given(st.one_of(frames, acks))
def test_round_trip(frame: Frame | Ack) -> None:
    assert FrameReader().feed(encode(frame)) == [frame]


@given(st.lists(st.one_of(frames, acks), max_size=6), st.data())
def test_any_chunking_reads_the_same(sent: list[Frame | Ack], data: st.DataObject) -> None:
    line = b"".join(encode(frame) for frame in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(line)), max_size=20)))
    reader = FrameReader()
    found: list[Frame | Ack] = []
    for start, end in zip([0, *cuts], [*cuts, len(line)], strict=True):
        found += reader.feed(line[start:end])
    assert found == sent


@given(st.binary(max_size=600))
def test_any_bytes_are_survived_and_the_next_frame_is_read(noise: bytes) -> None:
    reader = FrameReader()
    reader.feed(noise)
    assert reader.feed(b"\x00" + encode(GOOD))[-1:] == [GOOD]
