"""docs/traceability.md: one row per item of the source, with tests that exist and counts that agree."""

import ast
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/traceability.md"
# The source was read into 130 items; those that the first reading missed are numbered from B1.
ITEMS = 130
STATES = ("shown", "partly", "waits", "declined")
ISSUES = ("the admin API", "gateways in the field", "scale", "alerts", "the house in order")
# A test's id as pytest takes it, without the brackets of a parameter.
ID = re.compile(r"`(tests/[\w/]+\.py(?:::\w+)*)`")
# Whatever names a test, so that no other spelling of it goes unchecked.
NAMED = re.compile(r"`[^`]*test_[^`]*`")
ISSUE = re.compile(r'issue "([^"]*)"')
# A reason has at least this many characters; a word alone is none.
REASON = 20


@dataclass(frozen=True)
class Row:
    """A row of the page; `where` holds ids of tests, issues, what lacks or the reason."""

    number: str
    state: str
    where: str

    @property
    def is_item(self) -> bool:
        return self.number.isdecimal()


def rows(page: str) -> list[Row]:
    """Every row that starts with the number of an item, whatever its state says."""
    found = re.findall(r"^\| (B?\d+) \| (?:.+?) \| (\w+) \| (.+) \|$", page, re.MULTILINE)
    assert len(found) == len(re.findall(r"^\| B?\d+ \|", page, re.MULTILINE)), (
        "a row of other cells"
    )
    return [Row(*cells) for cells in found]


@cache
def collected(folder: Path) -> set[str]:
    """Ids of the test functions and methods below a folder, as pytest collects them."""
    found = set()
    for path in folder.rglob("test_*.py"):
        file = path.relative_to(ROOT).as_posix()
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
                found.add(f"{file}::{node.name}")
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                found |= {
                    f"{file}::{node.name}::{method.name}"
                    for method in node.body
                    if isinstance(method, ast.FunctionDef) and method.name.startswith("test")
                }
    return found


def faults(page: str, tests: set[str]) -> list[str]:
    """What is wrong with the page, one line each; `tests` are the ids that exist."""
    every = rows(page)
    wrong = [f"{n}: {c} rows" for n, c in Counter(row.number for row in every).items() if c > 1]
    beyond = sum(not row.is_item for row in every)
    expected = [*map(str, range(1, ITEMS + 1)), *(f"B{n}" for n in range(1, beyond + 1))]
    wrong += [f"{number}: no row" for number in expected if number not in {r.number for r in every}]
    for row in every:
        wrong += [f"{row.number}: {fault}" for fault in _faults_of(row, tests)]
    return wrong + _miscounts(page, every)


def _faults_of(row: Row, tests: set[str]) -> list[str]:
    if row.state not in STATES:
        return [f"state {row.state}"]
    named = ID.findall(row.where)
    issues = ISSUE.findall(row.where)
    wrong = [f"no test {test}" for test in named if test not in tests]
    wrong += [f"no id {code}" for code in NAMED.findall(row.where) if not ID.fullmatch(code)]
    wrong += [f"no open issue {issue}" for issue in issues if issue not in ISSUES]
    if row.state in ("shown", "partly") and not named:
        wrong.append("names no test")
    if (row.state == "partly") != ("lacks: " in row.where):
        wrong.append("says what lacks in the wrong state, or does not say it")
    if (row.state == "waits") != row.where.startswith('issue "'):
        wrong.append("starts with an open issue in the wrong state, or names none")
    if row.state == "declined" and len(row.where) < REASON:
        wrong.append("gives no reason")
    return wrong


def _miscounts(page: str, every: list[Row]) -> list[str]:
    """The two tables at the head against the rows."""
    by_state = Counter((row.state, row.is_item) for row in every)
    by_issue = Counter(
        (issue, row.state) for row in every for issue in set(ISSUE.findall(row.where))
    )
    lines = [f"| {s} | {by_state[s, True]} | {by_state[s, False]} | " for s in STATES]
    lines += [f"| {i} | {by_issue[i, 'waits']} | {by_issue[i, 'partly']} |" for i in ISSUES]
    return [f"the head does not say {line}" for line in lines if f"\n{line}" not in page]


def test_every_row_of_the_page_holds():
    assert faults(PAGE.read_text("utf-8"), collected(ROOT / "tests")) == []


GONE = "tests/topology/test_raw.py::test_that_is_gone"
SLIPS = {
    "a test that does not exist": (r"`tests/[^`]+::[^`]+`", f"`{GONE}`", f"no test {GONE}"),
    "a file without a test": (r"(`tests/[^`:]+)::[^`]+`", r"\1`", ".py"),
    "a test with its parameter": (r"(::test_\w+)`", r"\1[1]`", "no id `tests/"),
    "a count that is off": (r"\| shown \| \d+", "| shown | 999", "the head does not say"),
    "an issue's count that is off": (r"\| scale \| \d+", "| scale | 999", "the head does not say"),
    "an item without a row": (r"\n\| 74 \|[^\n]+", "", "74: no row"),
    "an item with two rows": (r"(\n\| 74 \|[^\n]+)", r"\1\1", "74: 2 rows"),
    "a row beyond that is left out": (r"\n\| B2 \|[^\n]+", "", "B2: no row"),
    "a state of its own": (r"\| shown \| `\./", "| seen | `./", "state seen"),
    "shown without a test": (r"\| shown \| `readings`[^\n]+ \|", "| shown | yes |", "names no test"),
    "partly that lacks nothing": ("; lacks: the message as", "; the message as", "41: says what lacks"),
    "shown that lacks something": (r"(\n\| 4 \|[^\n]+) \|", r"\1; lacks: more |", "4: says what lacks"),
    "waits for nothing": (r'\n(\| 12 \|[^\n]+)issue "[^"]+"', r"\n\1later", "12: starts with"),
    "an issue that is not open": (r'(\n\| 12 \|[^\n]+)"[^"\n]+"', r'\1"later"', "no open issue later"),
    "declined without a reason": (r"\| declined \| the source [^\n]+ \|", "| declined | no |", "no reason"),
}  # fmt: skip


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_of_the_page_is_found(slip):
    pattern, instead, expected = SLIPS[slip]
    page = PAGE.read_text("utf-8")
    changed = re.sub(pattern, instead, page, count=1)
    assert changed != page, "nothing was changed"
    assert any(expected in fault for fault in faults(changed, collected(ROOT / "tests")))


def test_methods_and_functions_are_collected_and_helpers_are_not(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "test_a.py").write_text(
        "def test_one(): ...\ndef helper(): ...\n"
        "class TestGroup:\n    def test_two(self): ...\n    def look(self): ...\n"
        "class Site:\n    def test_three(self): ...\n",
        "utf-8",
    )
    assert collected(tmp_path) == {"test_a.py::test_one", "test_a.py::TestGroup::test_two"}
