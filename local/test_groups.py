"""The test groups of this repository, and how one is run."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_AGAIN = 3
"""So many tests of a group may need a second try; more are no accident."""
AGAIN = "AGAIN "
"""How `tests/conftest.py` begins a line for each of them."""


@dataclass(frozen=True, slots=True)
class Group:
    """Commands that must exit 0, then the tests of some paths."""

    meaning: str
    paths: tuple[str, ...]
    checks: tuple[tuple[str, ...], ...] = ()
    needs_servers: bool = False


GROUPS = {
    "repository": Group(
        "format, lint, types and the rules of the house",
        ("tests/test_repository.py", "tests/test_traceability.py"),
        (
            ("ruff", "format", "--check", "--quiet", "."),
            ("ruff", "check", "--quiet", "."),
            ("mypy", "--no-error-summary"),
        ),
    ),
    "unit": Group("decisions and parts, without sockets", ("tests/unit",)),
    "contract": Group(
        "every adapter under its port's suite", ("tests/contract",), needs_servers=True
    ),
    "topology": Group(
        "topologies in one process, components as Storm starts them", ("tests/topology",)
    ),
    "storm": Group(
        "topologies on Storm: sparse run, and a cluster on the real stores",
        ("tests/storm",),
        needs_servers=True,
    ),
    "e2e": Group("the commands, with real processes", ("tests/e2e",)),
    "faults": Group(
        "kill -9 at random moments, a ledger after each", ("tests/faults",), needs_servers=True
    ),
}


@dataclass(slots=True)
class GroupResult:
    """What came of a group."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    left_out: dict[str, str] = field(default_factory=dict)
    """The reason of each skipped test."""
    again: list[str] = field(default_factory=list)
    output: str = ""

    @property
    def is_left_out(self) -> bool:
        """True when this machine could run none of the group's tests."""
        return self.skipped > 0 and self.passed == self.failed == 0

    def is_good(self, is_strict: bool) -> bool:
        """No failure, few second tries, a test that ran; with `is_strict` no skipped test either."""
        if is_strict and self.skipped:
            return False
        has_run = self.passed > 0 or self.is_left_out
        return self.failed == 0 and has_run and len(self.again) <= MAX_AGAIN

    def as_dict(self) -> dict[str, object]:
        """The counts, for `--json`."""
        return {
            "passed": self.passed,
            "failed": self.failed,
            "skipped": self.skipped,
            "seconds": round(self.seconds, 1),
            "left_out": self.left_out,
            "again": self.again,
        }


_running: set[subprocess.Popen[str]] = set()
_is_over = threading.Event()


def end_groups(*, interrupt: bool) -> None:
    """Start nothing any more; `interrupt` what runs, unless the terminal has done that already.

    A second interrupt would reach pytest while it stops its servers, which would then stay.
    """
    _is_over.set()
    for process in tuple(_running) if interrupt else ():
        process.send_signal(signal.SIGINT)


def run_group(name: str, group: Group) -> GroupResult:
    """Run a group's checks and tests in processes of their own; another thread may end them."""
    result = GroupResult(name)
    started = time.monotonic()
    for check in group.checks:
        done = _run([sys.executable, "-m", *check])
        if done.returncode == 0:
            result.passed += 1
        else:
            result.failed += 1
            result.output += f"$ {' '.join(check)}\n{done.stdout}"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        done = _run([sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", *group.paths])
        result.output += done.stdout
        lines = done.stdout.splitlines()
        result.again = [line.removeprefix(AGAIN) for line in lines if line.startswith(AGAIN)]
        if report.exists():
            _count(report, result)
        if done.returncode != 0 and result.failed == 0:
            result.failed = 1
    result.seconds = time.monotonic() - started
    return result


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    if _is_over.is_set():
        return subprocess.CompletedProcess(command, 1, "not begun\n")
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": f"{ROOT}/src:{ROOT}"},
    ) as process:
        _running.add(process)
        try:
            said, _ = process.communicate()
        finally:
            _running.discard(process)
    return subprocess.CompletedProcess(command, process.returncode, said)


def _count(report: Path, result: GroupResult) -> None:
    tree = ElementTree.parse(report)  # noqa: S314  # our own pytest wrote it
    last_tries = {(c.get("classname"), c.get("name")): c for c in tree.iter("testcase")}
    for case in last_tries.values():
        skip = case.find("skipped")
        if skip is not None:
            result.skipped += 1
            result.left_out[str(case.get("name"))] = str(skip.get("message"))
        elif case.find("failure") is not None or case.find("error") is not None:
            result.failed += 1
        else:
            result.passed += 1
