"""The command that a page tells: what was typed, and nothing that was left out."""

import shlex

import click
import pytest

from cli.options import json_option, known_names, typed_command


@click.command("measure")
@click.argument("names", nargs=-1)
@click.option("--rate", type=float, default=5000.0)
@click.option("--runs", type=int, default=3)
@click.option("--faults", callback=known_names("fault", ("one", "two")), default="")
@click.option("--folder", default="a")
@json_option
def measure(**_):
    return typed_command()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "./qold measure"),
        ("--rate 5000 raw log", "./qold measure --rate 5000 raw log"),
        ("raw --rate=1500.5 --runs 2", "./qold measure --rate 1500.5 --runs 2 raw"),
        ("--faults two,one --json", "./qold measure --faults two,one --json"),
        ("--folder 'a b'", "./qold measure --folder 'a b'"),
    ],
)
def test_what_was_typed_is_told_once(typed, told):
    assert measure.main(shlex.split(typed), "measure", standalone_mode=False) == told
