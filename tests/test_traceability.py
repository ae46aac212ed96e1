"""docs/traceability.md answers for every item of the inventory of the source."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ITEMS = 130
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (shown|waits|declined) \| (.+?) \|$", re.MULTILINE)


def rows() -> dict[int, tuple[str, str, str]]:
    text = (ROOT / "docs/traceability.md").read_text("utf-8")
    found = ROW.findall(text)
    assert len({number for number, *_ in found}) == len(found), "an item has two lines"
    return {int(number): (item, state, where) for number, item, state, where in found}


def test_every_item_has_a_line():
    assert sorted(rows()) == list(range(1, ITEMS + 1))


def test_what_is_shown_names_a_test_that_is_there():
    for number, (_, state, where) in rows().items():
        if state == "shown":
            tests = re.findall(r"`(tests/[\w/]+\.py)`", where)
            assert tests, number
            for test in tests:
                assert (ROOT / test).is_file(), f"{number}: {test}"


def test_what_waits_names_its_issue_and_what_is_declined_its_reason():
    for number, (_, state, where) in rows().items():
        if state == "waits":
            assert where.startswith("issue "), number
        elif state == "declined":
            assert len(where) > 20, number
