"""Record batches: every codec, within the limit, and whatever else may lie in an answer."""

from contextlib import suppress

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.simulator.record_batches import batch, gzip_of, record, zstd_of
from qold.adapters.kafka_batches import Broken, Entry, Oversized, Unpacker, batches
from qold.domain.log_limits import MAX_BATCH_BYTES, MAX_VALUE_BYTES


def snappy_of_java(content: bytes) -> bytes:
    """In chunks of 32 KiB behind a head of 16 bytes, as snappy-java writes."""
    packed = b"\x82SNAPPY\0\0\0\0\1\0\0\0\1"
    for start in range(0, len(content), 32_768):
        chunk = bytes(cramjam.snappy.compress_raw(content[start : start + 32_768]))
        packed += len(chunk).to_bytes(4) + chunk
    return packed


COMPRESS = {
    "none": bytes,
    "gzip": lambda content: gzip_of([content]),
    "snappy": lambda content: bytes(cramjam.snappy.compress_raw(content)),
    "snappy-java": snappy_of_java,
    "lz4": lambda content: bytes(cramjam.lz4.compress(content)),
    "zstd": zstd_of,
}

CODECS = sorted(COMPRESS.keys() - {"none"})


def entries(content: bytes) -> list[Entry]:
    unpacker = Unpacker()
    return [entry for one in batches(memoryview(content)) for entry in unpacker.entries(one)]


def packed(codec: str, content: bytes, count: int = 1) -> bytes:
    return batch(COMPRESS[codec](content), codec=codec.partition("-")[0], count=count)


@given(
    st.sampled_from(sorted(COMPRESS)),
    st.lists(st.tuples(st.none() | st.binary(max_size=9), st.none() | st.binary()), min_size=1),
)
def test_records_come_back_under_every_codec(codec, pairs):
    content = b"".join(
        record(value, key=key, delta=delta) for delta, (key, value) in enumerate(pairs)
    )
    assert [(e.offset, e.key, e.value) for e in entries(packed(codec, content, len(pairs)))] == [
        (offset, key or b"", value or b"") for offset, (key, value) in enumerate(pairs)
    ]


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_that_fills_more_than_the_limit_is_oversized(codec):
    content = record(bytes(MAX_BATCH_BYTES))
    with pytest.raises(Oversized):
        entries(packed(codec, content))


@pytest.mark.parametrize("codec", CODECS)
def test_a_value_of_the_limit_is_read_and_one_byte_more_is_not(codec):
    most, beyond = bytes(MAX_VALUE_BYTES), bytes(MAX_VALUE_BYTES + 1)
    for value, expected in ((most, most), (beyond, None)):
        (entry,) = entries(packed(codec, record(value)))
        assert (entry.value, entry.size) == (expected, len(value))


def test_snappy_that_announces_more_than_it_has_takes_no_room_for_it():
    with pytest.raises(Oversized):
        entries(batch(b"\x80\xf3\xfd\x89\x07\x04ab", codec="snappy"))


def test_an_unknown_codec_is_oversized():
    with pytest.raises(Oversized, match="codec 7"):
        entries(batch(b"x", attributes=7))


@pytest.mark.parametrize("codec", CODECS)
def test_bytes_that_are_not_of_their_codec_are_no_records(codec):
    with pytest.raises((Oversized, Broken)):
        entries(batch(b"\xff" * 50, codec=codec.partition("-")[0]))


@given(st.binary(max_size=60))
def test_any_bytes_in_place_of_records_are_broken_or_records(content):
    with suppress(Broken):
        entries(batch(content, count=3))


def test_a_batch_that_was_cut_off_is_left_for_the_next_answer():
    whole = batch(record(b"1"))
    for cut in (1, 30, len(whole) - 1):
        assert [e.value for e in entries(whole + whole[:-cut])] == [b"1"]


@pytest.mark.parametrize("place", [8, 16])
def test_an_answer_in_another_format_is_broken(place):
    """Tried: a length of 0, the format before."""
    content = bytearray(batch(record(b"1")))
    content[place : place + 4] = bytes(4)
    with pytest.raises(Broken):
        entries(bytes(content))


def test_a_record_that_claims_an_offset_of_another_batch_is_broken():
    for delta in (-1, 1):
        with pytest.raises(Broken):
            entries(batch(record(b"1", delta=delta)))
