"""A test that fails once is tried again and named; one that fails twice, or one of many, is no accident."""

import shutil
from pathlib import Path

import pytest

from local.test_groups import MAX_AGAIN, Group, GroupResult, run_group

ROOT = Path(__file__).resolve().parents[3]
TEST = """
import pathlib

def test_it():
    tries = pathlib.Path(__file__).with_suffix(".tries")
    before = len(tries.read_text()) if tries.exists() else 0
    tries.write_text("x" * (before + 1))
    assert before >= {failures}, "too early"
"""


@pytest.fixture
def result_of(tmp_path):
    def run(group: str, failures: int) -> GroupResult:
        folder = tmp_path / "tests" / group
        folder.mkdir(parents=True)
        shutil.copy(ROOT / "pyproject.toml", tmp_path)
        shutil.copy(ROOT / "tests/conftest.py", tmp_path / "tests")
        (folder / "test_it.py").write_text(TEST.format(failures=failures))
        return run_group(group, Group("", (str(folder),)))

    return run


def test_a_second_try_is_named_with_what_the_first_said(result_of):
    result = result_of("contract", failures=1)
    assert (result.passed, result.failed, result.is_good(is_strict=True)) == (1, 0, True)
    (again,) = result.again
    assert "test_it.py::test_it" in again
    assert "AssertionError" in again
    assert "too early" in result.output


def test_there_is_no_third_try(result_of):
    result = result_of("faults", failures=2)
    assert (result.passed, result.failed, len(result.again)) == (0, 1, 1)


@pytest.mark.parametrize("group", ["unit", "topology", "test_repository.py"])
def test_nothing_is_tried_again_where_there_are_no_processes(result_of, group):
    result = result_of(group, failures=1)
    assert (result.passed, result.failed, result.again) == (0, 1, [])


def test_too_many_second_tries_fail_their_group():
    few, many = (
        GroupResult("contract", passed=9, again=["x"] * n) for n in (MAX_AGAIN, MAX_AGAIN + 1)
    )
    assert few.is_good(is_strict=False)
    assert not many.is_good(is_strict=False)


def test_a_group_of_which_nothing_could_run_is_left_out_and_fails_where_nothing_may_be():
    result = GroupResult(
        "storm", skipped=2, left_out={"test_a": "needs java", "test_b": "needs java"}
    )
    assert result.is_left_out
    assert result.is_good(is_strict=False)
    assert not result.is_good(is_strict=True)


def test_a_group_without_tests_is_not_good():
    assert not GroupResult("storm").is_good(is_strict=False)
