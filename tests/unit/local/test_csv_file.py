"""Recordings and limits of any origin: devices, pipes, archives, endless lines; an output in place."""

import contextlib
import gzip
import io
import os
import stat
import threading
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.simulator import csv_file
from local.simulator.csv_file import MAX_PROBLEMS, MAX_ROW, RecordingError, check_output, write_rows
from local.simulator.limits_file import read_limits_file
from local.simulator.recording import read_recording
from qold.domain.contacts import MAX_NAME

HEADER = "unit,time_unix,temp_c\n"
AT_S = 1_795_456_000
ROW = f"Fridge 1,{AT_S},4.5\n"
READERS = pytest.mark.parametrize("read", [read_recording, read_limits_file])
BOUNDED_BYTES = 8 * 2**20


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("a.csv", HEADER + ROW)
    return content.getvalue()


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "in.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(read, path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        read(path)
    return str(caught.value).removeprefix(str(path))


@READERS
@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev/urandom", "/proc/self", "/"])
def test_a_device_or_folder_is_refused_unread(read, path):
    assert "neither a regular file nor a pipe" in refusal(read, Path(path))


@READERS
def test_a_file_that_cannot_be_read_is_named_with_the_reason(read, tmp_path):
    assert refusal(read, Path("/proc/self/mem")) == ": Input/output error"
    assert refusal(read, tmp_path / "none") == ": No such file or directory"
    assert refusal(read, written(tmp_path, "")) == ": is empty"


@READERS
def test_a_pipe_without_a_writer_is_empty(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert refusal(read, tmp_path / "pipe") == ": is empty"


def test_a_pipe_is_read_to_its_end():
    """As of `--input <(…)`; its writer fills it more than once."""
    reading, writing = os.pipe()
    rows = "".join(f"Fridge,{AT_S + number},4.5\n" for number in range(10_000))

    def fill() -> None:
        with open(writing, "w", encoding="utf-8") as file:
            file.write(HEADER + rows)

    filling = threading.Thread(target=fill)
    filling.start()
    try:
        (unit,) = read_recording(Path(f"/dev/fd/{reading}"))
    finally:
        filling.join()
        os.close(reading)
    assert sum(1 for _ in unit.sendings()) == 10_000


def test_a_link_to_a_recording_is_followed(tmp_path):
    (tmp_path / "link").symlink_to(written(tmp_path, HEADER + ROW))
    assert [unit.unit for unit in read_recording(tmp_path / "link")] == ["Fridge 1"]


@READERS
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (archive(), ":1: is a zip or xlsx file; save it as CSV in UTF-8"),
        (gzip.compress(HEADER.encode()), ":1: is a gzip file; save it as CSV in UTF-8"),
        (b"BZh91AY&SY", ":1: is a bzip2 file; save it as CSV in UTF-8"),
        (b"\xfd7zXZ\x00\x00", ":1: is an xz file; save it as CSV in UTF-8"),
        (HEADER.encode("utf-16"), ":1: is UTF-16; save it as CSV in UTF-8"),
        (HEADER.encode("utf-16-le"), ":1: holds a NUL byte, which text does not"),
        (b"\0" * 1000, ":1: holds a NUL byte, which text does not"),
    ],
)
def test_what_is_no_csv_is_named(read, content, reason, tmp_path):
    assert refusal(read, written(tmp_path, content)) == reason


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"caf\xe9,1795456900,4\n", ":3: is not UTF-8"),
        (b"\xed\xa0\x80,1795456900,4\n", ":3: is not UTF-8"),  # half a character
        (b"a\0b,1795456900,4\n", ":3: holds a NUL byte, which text does not"),
        (b"x" * (MAX_ROW + 1), f":3: a row is longer than {MAX_ROW} characters"),
        (b'"' + b"x\n" * MAX_ROW, f":3: a row is longer than {MAX_ROW} characters"),
        (b'"\n",' * MAX_ROW, f":3: a row is longer than {MAX_ROW} characters"),
    ],
    ids=["latin-1", "surrogate", "nul", "line", "quoted", "columns"],
)
def test_the_offending_line_is_named(row, reason, tmp_path):
    assert refusal(read_recording, written(tmp_path, (HEADER + ROW).encode() + row)) == reason


@pytest.mark.parametrize(
    "unit", ["a\x1b[2Jb", "a\x85b", "a\u202eb", '"a\nb"', "a\u200bb", "a\x7fb"]
)
@READERS
def test_a_unit_with_control_characters_is_a_bad_row(read, unit, tmp_path):
    header = HEADER if read is read_recording else "unit,min,max\n"
    told = refusal(read, written(tmp_path, f"{header}{unit},1795456000,4\n"))
    assert "holds control or invisible characters" in told
    assert told.isprintable()


def test_a_unit_has_as_many_characters_as_a_name(tmp_path):
    longest = "x" * MAX_NAME
    (unit,) = read_recording(written(tmp_path, HEADER + ROW.replace("Fridge 1", longest)))
    assert unit.unit == longest
    told = refusal(
        read_recording, written(tmp_path, HEADER + ROW.replace("Fridge 1", longest + "x"))
    )
    assert told.endswith(f"is longer than {MAX_NAME} characters")


def test_rows_units_and_problems_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_file, "MAX_ROWS", 3)
    assert len(read_recording(written(tmp_path, HEADER + 3 * ROW))) == 1
    told = refusal(read_recording, written(tmp_path, HEADER + 4 * ROW))
    assert told == ":5: more than 3 rows"
    monkeypatch.undo()
    told = refusal(read_recording, written(tmp_path, HEADER + 100 * "a,b,c\n"))
    assert len(told.splitlines()) == MAX_PROBLEMS + 1
    monkeypatch.setattr("local.simulator.recording.MAX_UNITS", 1)
    told = refusal(read_recording, written(tmp_path, HEADER + ROW + ROW.replace("1", "2", 1)))
    assert told == ":3: more than 1 units"


@pytest.mark.parametrize("start", ["", HEADER, HEADER + '"'])
def test_a_sparse_file_of_ten_gigabytes_costs_little_memory(start, tmp_path):
    path = written(tmp_path, start)
    os.truncate(path, 10 * 2**30)
    tracemalloc.start()
    try:
        refusal(read_recording, path)
        assert tracemalloc.get_traced_memory()[1] < BOUNDED_BYTES
    finally:
        tracemalloc.stop()


@given(
    content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8"))
)
@pytest.mark.parametrize("start", [b"", HEADER.encode(), b"unit,min,max\n"])
def test_any_bytes_are_rows_or_a_refusal(tmp_path_factory, start, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(start + content)
    for read in (read_recording, read_limits_file):
        with contextlib.suppress(RecordingError):
            assert read(path) or start


def test_an_output_replaces_a_file_and_its_cells_are_harmless(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old, and longer than what comes\n" * 10, "utf-8")
    write_rows(
        path, ("unit", "extreme"), [("=1+1", -18.5), ("-18", None), ("-x", 3), ("a\x1bb", 0)]
    )
    assert path.read_text("utf-8") == "unit,extreme\n'=1+1,-18.5\n-18,\n'-x,3\na\\x1bb,0\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.csv"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o022 == 0


def test_an_output_is_no_link_device_pipe_or_folder(tmp_path):
    precious = written(tmp_path, "precious")
    (tmp_path / "link").symlink_to(precious)
    (tmp_path / "dangling").symlink_to(tmp_path / "made")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "dangling", "pipe", ".", "none/out.csv", "in.csv/out.csv"):
        for attempt in (check_output, lambda path: write_rows(path, ("a",), [])):
            with pytest.raises(RecordingError):
                attempt(tmp_path / name)
    for device in ("/dev/full", "/dev/null", "/dev/zero"):
        with pytest.raises(RecordingError, match="not a regular file"):
            check_output(Path(device))
    assert precious.read_text("utf-8") == "precious"
    assert not (tmp_path / "made").exists()
