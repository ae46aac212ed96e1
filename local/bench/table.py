"""Figures as a table that reads well in a terminal and in Markdown."""

from collections.abc import Sequence
from math import ceil

from local.bench.measure import AT_MOST, Figures

_HEADINGS = ("bench", "workload", "median", "best", "CPU µs each", "source", "vs source", "target")
_WORDS = 2  # columns that are set left
_LEAST_SHARE = 0.01


def table(rows: Sequence[Figures]) -> str:
    """A Markdown table, its columns aligned."""
    return markdown(_HEADINGS, [_cells(row) for row in rows], words=_WORDS)


def shares(rows: Sequence[Figures]) -> str:
    """What each kind of process spends, in the rows that tell; empty when none does."""
    telling = [row for row in rows if row.where]
    cells = [
        (
            f"{row.bench}: {row.measured}",
            row.workload,
            f"{sum(where.values()):.1f}",
            ", ".join(
                f"{kind} {us:.1f}"
                for kind, us in sorted(where.items(), key=lambda entry: -entry[1])
                if us >= _LEAST_SHARE * sum(where.values())
            ),
        )
        for row in telling
        for where in [row.where or {}]
    ]
    headings = ("bench", "workload", "CPU µs each", "of these")
    return markdown(headings, cells, words=_WORDS, left_from=3) if cells else ""


def markdown(
    headings: Sequence[str],
    cells: Sequence[Sequence[str]],
    *,
    words: int,
    left_from: int | None = None,
) -> str:
    """The first `words` columns are set left, and those from `left_from` on."""
    lines = [tuple(headings), *map(tuple, cells)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    is_left = [
        number < words or (left_from is not None and number >= left_from)
        for number in range(len(widths))
    ]
    rule = "|".join(
        "-" * (width + 1) + ("-" if left else ":")
        for width, left in zip(widths, is_left, strict=True)
    )
    head, *body = (_line(line, widths, is_left) for line in lines)
    return "\n".join([head, f"|{rule}|", *body])


def _cells(row: Figures) -> tuple[str, ...]:
    name = f"{row.bench}: {row.measured}"
    if row.median is None or row.best is None:
        return (name, row.workload, row.ledger, "", "", "", "", "**missed**")
    target = ""
    if row.target is not None:
        bound = "≤" if row.unit in AT_MOST else "≥"
        verdict = "met" if row.met else "**missed**"
        target = f"{bound} {figure(row.target, row.unit)} {verdict}"
    middle = "" if row.p50_ms is None else f" (p50 {row.p50_ms:.0f} ms)"
    return (
        name,
        row.workload,
        figure(row.median, row.unit) + middle,
        figure(row.best, row.unit),
        "" if row.cpu_us is None else f"{row.cpu_us:.1f}",
        "" if row.source is None else figure(row.source, row.unit),
        "" if row.times_source is None else _times(row.times_source),
        target,
    )


def _times(ratio: float) -> str:
    if ratio < 0.01:
        return f"{ratio:.1g}"
    return f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"


def figure(value: float, unit: str) -> str:
    """Rates down to a whole number, never up; bytes up."""
    if unit == "s":
        if value < 1e-4:
            return f"{value * 1e6:.1f} µs"
        return f"{value:.1f} s" if value >= 1 else f"{value * 1000:.1f} ms"
    if unit == "bytes":
        return f"{value:.1f} B" if value < 1000 else f"{ceil(value):,} B".replace(",", " ")
    return f"{int(value):,} /s".replace(",", " ")


def _line(cells: Sequence[str], widths: Sequence[int], is_left: Sequence[bool]) -> str:
    padded = [
        cell.ljust(width) if left else cell.rjust(width)
        for cell, width, left in zip(cells, widths, is_left, strict=True)
    ]
    return "| " + " | ".join(padded) + " |"
