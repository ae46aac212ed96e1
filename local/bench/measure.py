"""What a bench yields: runs under a ledger, and the row they make beside the source's figure."""

import gc
import resource
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

import msgspec

Unit = Literal["readings/s", "records/s", "s", "bytes"]
AT_MOST: tuple[Unit, ...] = ("s", "bytes")
"""Units of which less is better: their targets are the most there may be."""
Profile = Literal["embedded", "full"]
Tell = Callable[[str], None]
"""Told in words what happens now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing measured. `target` is the least rate, or the most where the unit is of `AT_MOST`.

    `source` is the figure of the source (its appendix E) in the same unit.
    """

    bench: str
    measured: str
    workload: str
    unit: Unit = "readings/s"
    source: float | None = None
    target: float | None = None
    profile: Profile = "embedded"
    section: str = ""
    """Of the page, where it is not that of the profile."""

    def __str__(self) -> str:
        return f"{self.bench}, {self.measured}, {self.workload}"


@dataclass(frozen=True, slots=True)
class Run:
    """`count` things in so much time; `problems` is what the ledger found, empty when clean.

    Where latencies are measured, `wall_s` is their p99 and `p50_s` their median.
    """

    count: int
    wall_s: float
    cpu_s: float
    problems: tuple[str, ...] = ()
    p50_s: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """The runs of one case; `problems` also has those of the warm-up.

    `where` is CPU microseconds per thing counted, by kind of process, the mean of the runs.
    """

    case: Case
    runs: tuple[Run, ...]
    problems: tuple[str, ...]
    where: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        return not self.problems

    @property
    def is_met(self) -> bool | None:
        """Whether the median reaches the target, None where there is none; never when unclean."""
        if not self.is_clean:
            return False
        if self.case.target is None:
            return None
        if self.case.unit in AT_MOST:
            return self.median <= self.case.target
        return self.median >= self.case.target

    @property
    def values(self) -> list[float]:
        """Of each run, in the case's unit."""
        return [
            run.wall_s if self.case.unit == "s" else run.count / run.wall_s for run in self.runs
        ]

    @property
    def best(self) -> float:
        return min(self.values) if self.case.unit == "s" else max(self.values)

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def cpu_us(self) -> float:
        """CPU microseconds per thing counted, the median of the runs."""
        return median(1e6 * run.cpu_s / run.count for run in self.runs)

    @property
    def times_source(self) -> float | None:
        return None if self.case.source is None else self.median / self.case.source

    def figures(self) -> "Figures":
        """What is kept and shown."""
        case = self.case
        head = Figures(
            profile=case.profile,
            bench=case.bench,
            measured=case.measured,
            workload=case.workload,
            unit=case.unit,
            target=case.target,
            met=self.is_met,
            clean=self.is_clean,
            ledger="; ".join(self.problems) or "clean",
            problems=list(self.problems),
            section=case.section,
        )
        if not self.is_clean:
            return head
        waits = [run.p50_s for run in self.runs if run.p50_s is not None]
        is_time = case.unit == "s"
        digits = 9 if is_time else 3  # a bolt's time for a reading is a few microseconds
        return msgspec.structs.replace(
            head,
            count=self.runs[0].count,
            runs=[round(value, digits) for value in self.values],
            best=round(self.best, digits),
            median=round(self.median, digits),
            rate=None if is_time else round(self.median, 3),
            p50_ms=round(1000 * median(waits), 1) if waits else None,
            p99_ms=round(1000 * self.median, 1) if is_time and waits else None,
            cpu_us=round(self.cpu_us, 2),
            source=case.source,
            times_source=None if self.times_source is None else _rounded(self.times_source),
            where={kind: round(us, 2) for kind, us in self.where.items()},
        )


def _rounded(ratio: float) -> float:
    return round(ratio, 2 if ratio >= 1 else 6)


class Figures(msgspec.Struct, kw_only=True):
    """A row for scripts, for the page and for `./qold capacity`.

    Without figures where the ledger is unclean, for then nothing counts.
    """

    profile: Profile = "embedded"
    bench: str
    measured: str
    workload: str
    unit: Unit
    target: float | None = None
    met: bool | None = None
    clean: bool = True
    ledger: str = "clean"
    problems: list[str] = msgspec.field(default_factory=list)
    count: int | None = None
    runs: list[float] | None = None
    best: float | None = None
    median: float | None = None
    rate: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_us: float | None = None
    source: float | None = None
    times_source: float | None = None
    where: dict[str, float] | None = None
    section: str = ""
    """Of the page, where it is not that of the profile."""


class Stopwatch:
    """Runs from the moment it is made."""

    def __init__(self) -> None:
        self._cpu_s = _cpu_s()
        self._started_s = time.perf_counter()

    def run(self, count: int, problems: Callable[[], tuple[str, ...]] = tuple) -> Run:
        """Stop, then let `problems` look at what was done."""
        wall_s, cpu_s = time.perf_counter() - self._started_s, _cpu_s() - self._cpu_s
        return Run(count, wall_s, cpu_s, problems())


def repeat(
    cases: Sequence[Case],
    runs: int,
    once: Callable[[Path], Sequence[Run]],
    *,
    tell: Tell,
    template: Path | None = None,
) -> list[Row]:
    """One warm-up, then `runs` times `once` in a fresh folder; it returns a Run for every case.

    The folder is a copy of `template` if there is one. Copying is not measured.
    """
    results: list[Sequence[Run]] = []
    for number in range(runs + 1):
        tell(f"{cases[0]}: {f'run {number} of {runs}' if number else 'warm-up'}")
        with tempfile.TemporaryDirectory(prefix="qold-bench-") as folder:
            if template is not None:
                shutil.copytree(template, folder, dirs_exist_ok=True)
            gc.collect()
            results.append(once(Path(folder)))
    rows = []
    for case, taken in zip(cases, zip(*results, strict=True), strict=True):
        problems = dict.fromkeys(problem for run in taken for problem in run.problems)
        rows.append(Row(case, taken[1:], tuple(problems)))
    return rows


def differences(
    expected: Iterable[Hashable],
    found: Collection[Hashable],
    *,
    things: str,
    total: int | None = None,
) -> tuple[str, ...]:
    """The ledger: what is missing, there too often, or was never put in; empty when exact.

    `total` is what the store holds in all, where `found` came from asking for what was put in.
    """
    there, wanted = Counter(found), Counter(expected)
    missing = (wanted - there).total()
    too_many = there - wanted
    twice = sum(count for thing, count in too_many.items() if thing in wanted)
    foreign = too_many.total() - twice + (0 if total is None else total - len(found))
    counts = {"missing": missing, "stored twice": twice, "never put in": foreign}
    return tuple(f"{count} {things} {what}" for what, count in counts.items() if count)


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
