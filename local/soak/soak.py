"""Traffic, faults one after the other, and the verdict."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from local.services.servers import Tell
from local.soak.faults import FAULTS, Scene
from local.soak.gauges import Figures, Gauges
from local.soak.installation import Installation
from local.soak.progress import Progress
from local.soak.traffic import FLUSH_S, Sender, Traffic
from local.soak.verdict import Findings, judge, uncounted
from qold import wiring
from qold.clock import SystemClock
from qold.ports import Unavailable
from qold.private_files import write_private

MOST_S = 900.0
"""Within that everything must be worked off after a fault (source T3.15 allows one of a hundred more)."""
RESTART_S = 300.0
"""Within that what died must answer again (source 8.2.2.6)."""
CAUGHT_UP_MS = 10_000
"""The stream never ends: lag 0 is when nothing waits for longer than what just goes through."""
LOOK_S = 1.0
# Seconds: a minute to the next record of what was refused and not written, and its way to the log.
COUNTED_S = 120.0
GAP_S = (3.0, 15.0)
COMMIT_INTERVAL_MS = 500


@dataclass(slots=True)
class Injection:
    """One fault; seconds since the first report, and since the fault's end, None for never."""

    fault: str
    detail: str
    struck_at_s: float
    lasted_s: float
    ready_s: float | None = None
    lag_zero_s: float | None = None
    figures: Figures | None = None
    """Of an attack."""
    exceeded: list[str] = field(default_factory=list)
    """Bounds of the figures that do not hold."""

    @property
    def is_recovered(self) -> bool:
        return self.ready_s is not None and self.lag_zero_s is not None

    @property
    def is_in_time(self) -> bool:
        """Worked off, and what died answered again soon enough."""
        return self.is_recovered and self.ready_s is not None and self.ready_s <= RESTART_S


@dataclass(slots=True)
class Outcome:
    """What came of a soak."""

    seed: int
    rate: int
    brokers: int = 1
    minutes: float = 0.0
    sent: int = 0
    injections: list[Injection] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)

    @property
    def is_met(self) -> bool:
        """Exact, and after each fault ready and worked off in time, within the bounds of its figures."""
        return self.findings.is_exact and all(
            each.is_in_time and not each.exceeded for each in self.injections
        )

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "exact": self.findings.is_exact, "met": self.is_met}


def plan(seed: int, names: Sequence[str]) -> Iterator[tuple[float, str]]:
    """For ever (seconds to wait, fault): rounds of them all, in an order that is drawn."""
    rng = random.Random(seed)
    while True:
        for name in rng.sample(list(names), len(names)):
            yield rng.uniform(*GAP_S), name


def run(
    state: Path,
    *,
    seed: int,
    rate: int,
    minutes: float,
    rounds: int | None,
    names: Sequence[str],
    brokers: int,
    tell: Tell,
) -> Outcome:
    """A whole soak; with `rounds` so many of them, without as many faults as begin in time."""
    installation = Installation(state, brokers=brokers)
    _configure(installation.state)
    try:
        installation.start(tell)
        soak = _Soak(installation, Outcome(seed, rate, brokers), tell)
        return soak.run(minutes, rounds, names)
    finally:
        installation.stop()


def _configure(state: Path) -> None:
    lines = (
        f"commit_interval_ms = {COMMIT_INTERVAL_MS}",
        'notifier_url = "file:sent.jsonl"',
    )
    write_private(state / "qold.toml", "\n".join(lines) + "\n")


class _Soak:
    def __init__(self, installation: Installation, outcome: Outcome, tell: Tell) -> None:
        self._installation, self._outcome, self._tell = installation, outcome, tell
        seed, rate = outcome.seed, outcome.rate
        settings, self._clock = installation.settings, SystemClock()
        tell("registering gateways and devices")
        self._traffic = Traffic(settings, self._clock, rate=rate, seed=seed)
        self._log = wiring.message_log(settings, self._clock)
        self._sender = Sender(self._traffic, self._log, settings.reports_topic, self._clock)
        self._progress = Progress(settings, wiring.message_log(settings, self._clock), self._clock)
        self._gauged = wiring.message_log(settings, self._clock)
        readings = wiring.reading_store(settings, self._clock)
        self._scene = Scene(installation, self._traffic, readings, random.Random(seed), self._clock)
        self._started_at = time.monotonic()

    def run(self, minutes: float, rounds: int | None, names: Sequence[str]) -> Outcome:
        outcome = self._outcome
        self._sender.start()
        self._tell("reports are flowing")
        self._installation.wait(FLUSH_S)
        first = Injection("start", "", 0.0, 0.0)
        self._recover(first, self._clock.wall_ms())
        if not first.is_recovered:
            outcome.injections.append(first)
        for number, (gap_s, name) in enumerate(plan(outcome.seed, names)):
            is_over = number >= rounds * len(names) if rounds else self._seconds() >= 60 * minutes
            if is_over or not all(each.is_recovered for each in outcome.injections):
                break
            self._installation.wait(gap_s)
            outcome.injections.append(self._inject(name))
        self._end()
        return outcome

    def _inject(self, name: str) -> Injection:
        if not FAULTS[name].is_attack:
            return self._strike(name)
        hostile, attack = self._scene.hostile, self._traffic.attacked(self._installation.settings)
        from_ms = self._clock.wall_ms()
        with Gauges(self._installation, self._gauged, attack) as gauges:
            injection = self._strike(name)
        injection.figures = gauges.read(
            taken=hostile.taken,
            refused=hostile.refused,
            from_ms=from_ms,
            until_ms=self._clock.wall_ms(),
        )
        injection.exceeded = injection.figures.exceeded()
        return injection

    def _strike(self, name: str) -> Injection:
        struck_at_s = self._seconds()
        self._tell(f"{_minutes(struck_at_s)}  {FAULTS[name].meaning}")
        try:
            detail = FAULTS[name].strike(self._scene)
        except LookupError as exc:  # what should be struck did not come back
            return Injection(name, str(exc), struck_at_s, self._seconds() - struck_at_s)
        injection = Injection(name, detail, struck_at_s, self._seconds() - struck_at_s)
        self._recover(injection, self._clock.wall_ms())
        self._tell(f"{_minutes(self._seconds())}  {told(injection)}")
        return injection

    def _recover(self, injection: Injection, ended_at_ms: int) -> None:
        """Wait until everything answers and nothing is left over; note when that was."""
        began = time.monotonic()

        def is_recovered() -> bool:
            since_s = round(time.monotonic() - began, 1)
            if injection.lag_zero_s is None:
                behind_ms = self._progress.behind_ms()
                is_worked_off = self._progress.passed_ms >= ended_at_ms
                if behind_ms is not None and behind_ms <= CAUGHT_UP_MS and is_worked_off:
                    injection.lag_zero_s = since_s
            if injection.ready_s is None and self._installation.servers_are_ready():
                injection.ready_s = since_s
            return injection.is_recovered and self._installation.is_ready()

        self._installation.wait(MOST_S, until=is_recovered, look_s=LOOK_S)

    def _end(self) -> None:
        outcome = self._outcome
        self._tell("no more faults; waiting for the last reports")
        self._sender.stop()
        outcome.sent = self._traffic.ledger.sent
        outcome.minutes = round(self._seconds() / 60, 1)
        if not self._installation.wait(MOST_S, until=self._has_no_lag, look_s=LOOK_S):
            outcome.findings.note("missing", 1, f"lag that does not go away: {self._lags()}")
        # Counts of refusals that a flood displaced are written once a minute.
        settings = self._installation.settings
        self._installation.wait(
            COUNTED_S, until=lambda: not uncounted(settings, self._clock, self._traffic), look_s=5.0
        )
        self._tell("comparing what is stored with what was sent")
        judge(self._installation.settings, self._clock, self._traffic, outcome.findings)

    def _has_no_lag(self) -> bool:
        lags = self._lags()
        return bool(lags) and not any(lags.values())

    def _lags(self) -> dict[str, int]:
        try:
            return self._progress.lags()
        except Unavailable:
            return {}

    def _seconds(self) -> float:
        return round(time.monotonic() - self._started_at, 1)


def told(injection: Injection) -> str:
    """How it went, for people."""
    if not injection.is_recovered:
        return f"{injection.fault} ({injection.detail}): not worked off within {MOST_S:.0f} s"
    return (
        f"{injection.fault} ({injection.detail}): ready after {injection.ready_s:.0f} s,"
        f" lag 0 after {injection.lag_zero_s:.0f} s"
    )


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60:3}:{int(seconds) % 60:02}"
