"""Where commands write. Values from outside stay text: no markup, no control characters.

`tests/test_repository.py` forbids other ways to stdout and stderr in `cli/` and `local/`.
"""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from qold.plain_text import spreadsheet_row, visible

_NOT_ASCII = re.compile(r"[^\x20-\x7e\n]")


class PlainConsole(Console):
    """A console that takes strings as text and shows control characters escaped.

    A string that is printed may have lines; a string in a table is one line. Style is given by
    `style=` or a rich `Text`.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(markup=False, highlight=False, emoji=False, **how)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        if isinstance(renderable, str):
            renderable = visible(renderable)
        for segment in super().render(renderable, options):
            if segment.control:  # cursor movements of rich itself
                yield segment
            else:
                yield segment._replace(text=visible(segment.text, keep="\n"))

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(visible(text, keep="\n\t"), **{**how, "markup": False})

    @contextmanager
    def working(self, text: str) -> Iterator[Callable[[str], None]]:
        """A spinner with a text; call the result with each new text."""
        with self.status(Text(visible(text))) as status:
            yield lambda changed: status.update(Text(visible(changed)))


def print_line(text: str) -> None:
    """One line of data on stdout."""
    click.echo(visible(text, keep="\t"))


def print_text(text: str) -> None:
    """Several lines of data on stdout."""
    click.echo(visible(text, keep="\n\t"))


def print_json(value: Any) -> None:
    """A JSON document on a line of stdout, in printable ASCII."""
    print_json_text(json.dumps(value))


def print_json_text(text: str | bytes) -> None:
    """JSON that exists already, in printable ASCII; outside strings JSON has nothing else."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    click.echo(_NOT_ASCII.sub(_json_escape, text))


def print_csv(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """CSV on stdout that a spreadsheet opens without running a cell."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(map(spreadsheet_row, rows))


def _json_escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
