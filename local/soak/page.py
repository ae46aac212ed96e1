"""A soak as a table for terminals and Markdown, and the page around it."""

import textwrap
from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from local.bench.table import markdown
from local.soak.faults import FAULTS
from local.soak.gauges import COMPONENT_MB, LOG_MB, WORKER_MB, Figures
from local.soak.soak import MOST_S, RESTART_S, Injection, Outcome
from qold.domain.refusal_budget import BYTES_EACH

_WIDTH = 118
_HEADINGS = ("fault", "what happens", "times", "all ready", "lag 0, median", "lag 0, longest")
_FIGURE_HEADINGS = (
    "fault",
    "taken",
    "refused",
    "most of a component",
    "of a worker",
    "of a broker",
    "log grew by",
    "refusals written",
    "their bytes",
    "ended",
)
_SECTIONS = {1: "One broker", 3: "Three brokers, of which two must have a record"}
_SECTION = """\
## {title}

{head}

{table}

{figures}{verdict}

"""
_NOTES_TITLE = "How it is done, and what is required"
_PAGE = """\
# What happens when something fails?

{sections}## {notes_title}

- Readings are sent all the while, to all seven topologies on Storm, with Kafka, Cassandra, KairosDB behind nginx and
  Redis on the same machine. Faults come one after the other at moments drawn from the seed, the next one when the one
  before is worked off. `./qold up` and Storm start again what died; nobody helps.
- Times count from the end of the fault: the kill, or the SIGCONT. `all ready` is when every server answers again.
  The stream does not pause for `lag 0`: it is when all that was sent until the fault's end is committed by every
  topology, and nothing waits for more than 10 s.
- A worker's tuples in flight come back only after Storm's message timeout of 60 s; with Kafka's or ZooKeeper's sessions
  on top this is what the longest recoveries consist of.
- In the end every reading sent is looked up: in Cassandra and KairosDB once and nothing else, refused ones with their
  reasons on their topic, alerts exactly those that the limits call for, at most one per device, kind and hour, and for
  devices that fell silent when they were last heard. Records on the log may stand there twice: at least once.
- `poison` and `flood` come from a gateway with a certificate and a token of its own, which is registered for them. Their
  figures: records that the broker took and refused, the most memory that a process has had (VmHWM), what the log's
  folders grew by, what the attack wrote to `reports.rejected`, and processes that ended. Allowed are {component} MiB for a
  component, {worker} for a worker, {log} MiB of log, and the budgets of [ADR 0030](adr/0030-a-budget-of-refusals.md).
- Required: nothing lost, nothing twice; after each fault all ready within {restart} min (source 8.2.2.6) and lag 0 within
  {most} min (T3.15, which allows one of a hundred to take longer). Otherwise the exit code is 4.
"""


def table(injections: Sequence[Injection]) -> str:
    """One row per fault, as Markdown, its columns aligned."""
    by_fault: dict[str, list[Injection]] = defaultdict(list)
    for injection in injections:
        by_fault[injection.fault].append(injection)
    cells = [_cells(name, found) for name, found in sorted(by_fault.items())]
    return markdown(_HEADINGS, cells, words=2)


def figures(injections: Sequence[Injection]) -> str:
    """One row per attack, as Markdown; empty without one."""
    cells = [
        _figure_cells(injection.fault, injection.figures)
        for injection in sorted(injections, key=lambda each: each.fault)
        if injection.figures is not None
    ]
    return markdown(_FIGURE_HEADINGS, cells, words=1) if cells else ""


def verdict(outcome: Outcome) -> str:
    """The ledger in a sentence or two."""
    found = outcome.findings
    stored = ", ".join(f"{name} {_figure(count)}" for name, count in found.stored.items())
    told = (
        f"Seed {outcome.seed}, {len(outcome.injections)} faults in {outcome.minutes:g} min,"
        f" {outcome.rate} readings/s, {_figure(outcome.sent)} sent ({_figure(found.refused)} to be refused):"
        f" {found.missing} missing, {found.unexpected} that were not sent, {found.duplicates} twice"
        f" in the stores ({stored}); {found.alerts} alerts; {_figure(found.repeats)} readings stand"
        " twice on the log."
    )
    hostile = ", ".join(f"{name} {_figure(count)}" for name, count in found.hostile.items())
    exceeded = [f"{each.fault}: {what}." for each in outcome.injections for what in each.exceeded]
    parts = [f"Refusals of the hostile gateway: {hostile}."] if hostile else []
    return " ".join([told, *parts, *exceeded, *found.examples])


def page(before: str, outcome: Outcome, command: str, machine: str) -> str:
    """The page with a section of this soak; its other sections stay."""
    told = f"`{command}` wrote this. It ran on {machine}."
    sections = _sections(before)
    title = _SECTIONS[outcome.brokers]
    measured = figures(outcome.injections)
    sections[title] = _SECTION.format(
        title=title,
        head=_wrapped(told),
        table=table(outcome.injections),
        figures=f"{measured}\n\n" if measured else "",
        verdict=_wrapped(verdict(outcome)),
    )
    # Those of a soak first, each in its place, then those that are written by hand.
    titles = [title for title in _SECTIONS.values() if title in sections]
    titles += [title for title in sections if title not in titles]
    return _PAGE.format(
        sections="".join(sections[title] for title in titles),
        notes_title=_NOTES_TITLE,
        component=COMPONENT_MB,
        worker=WORKER_MB,
        log=LOG_MB,
        restart=round(RESTART_S / 60),
        most=round(MOST_S / 60),
    )


def _sections(text: str) -> dict[str, str]:
    """By title, each with its title, but for the notes."""
    parts = ("## " + part for part in f"\n{text}".split("\n## ")[1:])
    found = {part.partition("\n")[0].removeprefix("## "): part.rstrip() + "\n\n" for part in parts}
    return {title: part for title, part in found.items() if title != _NOTES_TITLE}


def _cells(name: str, found: Sequence[Injection]) -> tuple[str, ...]:
    meaning = FAULTS[name].meaning if name in FAULTS else "the first reports, with cold caches"
    lags = sorted(each.lag_zero_s for each in found if each.lag_zero_s is not None)
    ready = [each.ready_s for each in found if each.ready_s is not None]
    if len(lags) < len(found) or len(ready) < len(found):
        return (name, meaning, str(len(found)), "", "", "**never**")
    return (
        name,
        meaning,
        str(len(found)),
        f"{max(ready):.0f} s",
        f"{median(lags):.0f} s",
        f"{lags[-1]:.0f} s",
    )


def _figure_cells(fault: str, found: Figures) -> tuple[str, ...]:
    most = found.rejected_most
    return (
        fault,
        _figure(found.taken),
        _figure(found.refused),
        f"{found.component_mb} MiB ({found.component})",
        f"{found.worker_mb} MiB",
        f"{found.broker_mb} MiB",
        f"{found.log_mb:.1f} MiB",
        f"{_figure(found.rejected)} of {_figure(most)}",
        f"{_figure(found.rejected_bytes)} of {_figure(most * BYTES_EACH)}",
        _figure(found.restarted),
    )


def _figure(count: int) -> str:
    return f"{count:,}".replace(",", " ")


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_on_hyphens=False, break_long_words=False)
