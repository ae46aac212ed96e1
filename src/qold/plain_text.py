"""Text from outside: what is refused, how it is shown, and what a spreadsheet does not run."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

# Zero-width joiner and non-joiner: emoji, Persian and Indic spelling need them.
_JOINERS = "\u200c\u200d"
# isprintable() refuses these too: other spaces, private use, and what Python's Unicode lacks yet.
_SHOWN_AS_THEY_ARE = frozenset({"Zs", "Co", "Cn"})
_FORMULA = re.compile(r"[=+\-@\t\r\n]")
_NEGATIVE_NUMBER = re.compile(r"-[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def is_plain(text: str) -> bool:
    """Whether every character shows as itself: no control, direction or line character, no surrogate."""
    return text.isprintable() or all(map(_is_plain_character, text))


def visible(text: str, *, keep: str = "") -> str:
    r"""The text with `\x1b` for what is not plain, so that a terminal or log takes it as text.

    Characters of `keep` stay, such as a line feed where several lines are meant.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character in keep or _is_plain_character(character) else _escape(character)
        for character in text
    )


def spreadsheet_cell(text: str) -> str:
    """The text with `'` in front where a spreadsheet would run it; negative numbers stay numbers."""
    if _FORMULA.match(text) and not _NEGATIVE_NUMBER.fullmatch(text):
        text = f"'{text}"
    return visible(text)


def spreadsheet_row(row: Iterable[Any]) -> list[Any]:
    """A row of CSV with its texts as `spreadsheet_cell`; numbers and None stay."""
    return [spreadsheet_cell(value) if isinstance(value, str) else value for value in row]


def _is_plain_character(character: str) -> bool:
    return (
        character.isprintable()
        or character in _JOINERS
        or unicodedata.category(character) in _SHOWN_AS_THEY_ARE
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
