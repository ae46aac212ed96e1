"""What counts as plain text, how the rest is shown, and what a spreadsheet does not run."""

import csv
import io
import logging
import os
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qold.adapters.notifier.console import ConsoleNotifier
from qold.plain_logs import PlainRecord
from qold.plain_text import (
    is_plain,
    spreadsheet_cell,
    spreadsheet_row,
    visible,
)
from qold.settings_file import MAX_SETTINGS_BYTES, read_settings_text

EVERY_CHARACTER = [chr(number) for number in range(sys.maxunicode + 1)]
ANYTHING = st.text(st.characters(), max_size=40)  # also surrogates and unassigned characters


def test_control_format_and_line_characters_and_surrogates_are_not_plain():
    """Of all Unicode; but for the two joiners that emoji and Persian need."""
    refused = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    strange = {c for c in EVERY_CHARACTER if unicodedata.category(c) in refused}
    assert {c for c in EVERY_CHARACTER if not is_plain(c)} == strange - {"\u200c", "\u200d"}
    assert strange >= {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u202e", "\u2066"}


@pytest.mark.parametrize(
    "text",
    ["", "Frigorífico 3", "[/]", "冷蔵庫", "a\u3000b", "a\xa0b", "क्\u200dष", "👨\u200d🍳"],
)
def test_names_of_any_language_are_plain(text):
    assert is_plain(text)
    assert visible(text) == text


@given(ANYTHING)
def test_what_is_shown_is_plain_and_can_be_written(text):
    shown = visible(text)
    assert is_plain(shown)
    assert visible(shown) == shown
    assert shown.encode("utf-8").decode("utf-8") == shown


def test_escapes_are_those_of_python():
    assert visible("a\x1b[2J\x07\u202e\ud800\n\t") == r"a\x1b[2J\x07\u202e\ud800\n\t"
    assert visible("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"


@pytest.mark.parametrize(
    "text", ["=1+1", "+351911111111", "-fridge", "@SUM(A1)", "\tx", "\rx", "--1"]
)
def test_a_spreadsheet_runs_no_text(text):
    assert spreadsheet_cell(text) == "'" + visible(text)


@pytest.mark.parametrize("text", ["-18.5", "-18", "-1e3", "18.5", "Fridge -1", "a=b", "", "'=1"])
def test_numbers_and_other_text_stay(text):
    assert spreadsheet_cell(text) == text


@given(st.lists(ANYTHING | st.none() | st.integers() | st.floats(allow_nan=False), min_size=2))
def test_csv_is_read_back_and_its_numbers_stay_numbers(row):
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerow(spreadsheet_row(row))
    (back,) = csv.reader(io.StringIO(file.getvalue(), newline=""))
    for value, cell in zip(row, back, strict=True):
        assert is_plain(cell)
        if isinstance(value, int | float):
            assert float(cell) == value
        elif cell[:1] in {*"=+-@"}:
            float(cell)


@pytest.fixture
def logged():
    """A logger whose records are plain, and the text that its handler writes."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("qold.adapters.notifier.console")
    logger.addHandler(handler)
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(PlainRecord)
    yield logger, written
    logging.setLogRecordFactory(before)
    logger.removeHandler(handler)


def test_a_value_in_a_log_cannot_begin_a_line(logged):
    logger, written = logged
    logger.warning("name=%s", "x\nERROR all is lost\x1b[2J")
    assert written.getvalue() == "WARNING name=x\\nERROR all is lost\\x1b[2J\n"


def test_a_traceback_keeps_its_lines_and_no_escape_sequence(logged):
    logger, written = logged
    try:
        raise ValueError("bad \x1b]0;owned\x07")
    except ValueError:
        logger.exception("failed")
    lines = written.getvalue().splitlines()
    assert lines[:2] == ["ERROR failed", "Traceback (most recent call last):"]
    assert lines[-1] == r"ValueError: bad \x1b]0;owned\x07"


def test_a_message_to_the_console_is_one_line(logged):
    _, written = logged
    ConsoleNotifier().send(message_id="1", to="+351911111111", text="a\r\nb\x1b[2J\u2028c")
    assert written.getvalue().count("\n") == 1
    assert is_plain(written.getvalue().removesuffix("\n"))


def test_settings_are_read_from_a_short_regular_file(tmp_path):
    file = tmp_path / "qold.toml"
    file.write_bytes(b"x" * MAX_SETTINGS_BYTES)
    assert len(read_settings_text(file)) == MAX_SETTINGS_BYTES
    file.write_bytes(b"x" * (MAX_SETTINGS_BYTES + 1))
    with pytest.raises(OSError, match="longer than"):
        read_settings_text(file)
    file.write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        read_settings_text(file)


def test_settings_are_not_read_from_devices_pipes_and_folders(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # without a writer
    for path in ("/dev/zero", "/dev/null", tmp_path / "pipe", tmp_path):
        with pytest.raises(OSError, match="regular file"):
            read_settings_text(path)
