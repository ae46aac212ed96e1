"""A time series drawn in the terminal; gaps stay gaps."""

import itertools
from datetime import UTC, datetime
from statistics import median

import plotext

from qold.ports import Point

GAP_FACTOR = 3
WIDTH, HEIGHT = 80, 20
TICKS = 6


def draw(points: list[Point], *, title: str, unit: str) -> str:
    """Text of about 80 columns without colour; lines join only neighbours in time."""
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(min(WIDTH, plotext.terminal_width() or WIDTH), HEIGHT)
    for part in _parts(points):
        times = [point.measured_at_ms / 1000 for point in part]
        values = [float(point.value) for point in part]
        if len(part) > 1:
            plotext.plot(times, values, marker="braille")
        else:
            plotext.scatter(times, values, marker="braille")
    first, last = points[0].measured_at_ms / 1000, points[-1].measured_at_ms / 1000
    ticks = [first + (last - first) * i / (TICKS - 1) for i in range(TICKS)]
    plotext.xticks(ticks, [_label(tick, last - first) for tick in ticks])
    plotext.title(title)
    plotext.ylabel(unit)
    plotext.xlabel("UTC")
    return str(plotext.uncolorize(plotext.build()))


def _parts(points: list[Point]) -> list[list[Point]]:
    steps = [b.measured_at_ms - a.measured_at_ms for a, b in itertools.pairwise(points)]
    limit = GAP_FACTOR * median(steps) if steps else 0
    parts = [points[:1]]
    for step, point in zip(steps, points[1:], strict=True):
        if step > limit:
            parts.append([])
        parts[-1].append(point)
    return parts


def _label(at_s: float, span_s: float) -> str:
    moment = datetime.fromtimestamp(at_s, UTC)
    return f"{moment:%H:%M}" if span_s < 2 * 86_400 else f"{moment:%d %b}"
