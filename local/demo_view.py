"""What a demo looks like: a live fleet table on a terminal, a line per 10 % elsewhere."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from local.demo_outcome import Progress
from local.demo_world import SHOWN_ALERTS
from local.simulator.device import Reading
from local.simulator.fleet import Fleet
from qold.wire.frame import FLAG_DEFROST, FLAG_DOOR

REFRESH_PER_S = 8
LOW_BATTERY = 20
_CHROME_LINES = 13 + SHOWN_ALERTS


@dataclass(slots=True)
class Row:
    """What is known of a device; `usual` is its mean temperature so far."""

    device_id: int
    name: str
    heard_s: int | None = None
    celsius: float | None = None
    battery: int | None = None
    state: str = "not heard yet"
    usual: float = 0.0
    count: int = 0

    def hear(self, reading: Reading, reason: str) -> None:
        measurement = reading.measurement
        self.heard_s = measurement.at_s
        centi = measurement.temperature_centi
        self.celsius = None if centi is None else centi / 100
        self.battery = measurement.battery
        if self.celsius is not None:
            self.count += 1
            self.usual += (self.celsius - self.usual) / self.count
        self.state = reason or _state(measurement.flags, self.celsius, self.battery)

    def badness(self) -> tuple[bool, bool, float]:
        """Greater is worse: refused or failed, low battery, far from its usual temperature."""
        is_faulty = self.state not in ("ok", "door open", "defrosting", "low battery")
        is_low = self.battery is not None and self.battery < LOW_BATTERY
        return is_faulty, is_low, abs((self.celsius or self.usual) - self.usual)


class _View:
    def __init__(self, console: Console) -> None:
        self.console = console
        self.show_units = False
        self.rows: dict[int, Row] = {}

    def started(self, fleet: Fleet) -> None:
        self.rows = {d.device_id: Row(d.device_id, d.source.unit) for d in fleet.devices}
        if self.show_units:
            for row in self.rows.values():
                self.console.print(f"{row.name} -> {row.device_id}")

    def note(self, heard: Sequence[tuple[Reading, str]]) -> None:
        for reading, reason in heard:
            row = self.rows.get(reading.device_id)
            if row is not None:
                row.hear(reading, reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to release."""


class LineView(_View):
    """A line per 10 %, for logs and pipes."""

    _told = 0

    def moved(self, progress: Progress, heard: Sequence[tuple[Reading, str]]) -> None:
        self.note(heard)
        tenth = int(10 * _share(progress))
        if tenth > self._told:
            self._told = tenth
            self.console.print(f"{10 * tenth:3} %  {_counters(progress)}")


class LiveView(_View):
    """The fleet, worst first, with progress and counters."""

    def __enter__(self) -> Self:
        self._live = Live(console=self.console, refresh_per_second=REFRESH_PER_S, transient=False)
        self._live.start()
        self._drawn_at = 0.0
        self._started_at = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def moved(self, progress: Progress, heard: Sequence[tuple[Reading, str]]) -> None:
        self.note(heard)
        now = time.monotonic()
        if now - self._drawn_at >= 1 / REFRESH_PER_S or progress.at_s == progress.end_s:
            self._drawn_at = now
            self._live.update(self._draw(progress, now))

    def _draw(self, progress: Progress, now: float) -> RenderableType:
        clock = time.strftime("%Y-%m-%d %H:%M", time.gmtime(progress.at_s))
        rate = progress.counts.stored / max(0.001, now - self._started_at)
        head = Text(f"Qold demo · {clock} UTC · {rate:,.0f} readings/s")
        bar = ProgressBar(total=1.0, completed=_share(progress))
        room = max(3, self.console.size.height - _CHROME_LINES)
        counters = Text(_counters(progress))
        return Group(head, bar, self._table(progress, room), self._alerts(progress), counters)

    def _alerts(self, progress: Progress) -> Table:
        """The latest, newest first: since when, who, what, and until when."""
        table = Table(title="Alerts", min_width=50)
        for column in ("since", "who", "what", "until"):
            table.add_column(column)
        for story in progress.counts.latest():
            alert, over_ms = story.alert, story.over_at_ms
            device_id = int(alert.subject.rpartition(":")[2]) if "device:" in alert.subject else 0
            row = self.rows.get(device_id)
            table.add_row(
                _clock(alert.started_at_ms),
                row.name if row else alert.subject.replace(":", " "),
                alert.kind if alert.value is None else f"{alert.kind} {alert.value:g}",
                Text("open", style="red") if over_ms is None else _clock(over_ms),
            )
        return table

    def _table(self, progress: Progress, room: int) -> Table:
        shown = sorted(self.rows.values(), key=Row.badness, reverse=True)[:room]
        table = Table(title=f"Fleet ({len(shown)} of {len(self.rows)}, worst first)")
        for column, justify in (("id", "right"), ("name", "left"), ("°C", "right")):
            table.add_column(column, justify="left" if justify == "left" else "right")
        for column in ("battery", "last heard"):
            table.add_column(column, justify="right")
        table.add_column("state")
        for row in shown:
            table.add_row(
                str(row.device_id),
                row.name,
                "-" if row.celsius is None else f"{row.celsius:.1f}",
                "-" if row.battery is None else f"{row.battery} %",
                "-" if row.heard_s is None else f"{(progress.at_s - row.heard_s) // 60} min",
                Text(row.state, style="red" if row.badness()[0] else ""),
            )
        return table


def _state(flags: int, celsius: float | None, battery: int | None) -> str:
    if celsius is None:
        return "sensor fault"
    if battery is None:
        return "battery unknown"
    if battery < LOW_BATTERY:
        return "low battery"
    if flags & FLAG_DOOR:
        return "door open"
    return "defrosting" if flags & FLAG_DEFROST else "ok"


def _clock(at_ms: int) -> str:
    return time.strftime("%H:%M", time.gmtime(at_ms / 1000))


def _share(progress: Progress) -> float:
    length = progress.end_s - progress.start_s
    return (progress.at_s - progress.start_s) / length if length else 1.0


def _counters(progress: Progress) -> str:
    counts = progress.counts
    lost = "" if progress.lost is None else f"  lost {progress.lost}"
    return (
        f"acknowledged {progress.ledger.acknowledged}  stored {counts.stored}"
        f"  replayed {counts.replayed}  rejected {counts.rejected}{lost}"
        f"  alerts {counts.alerted}"
    )
