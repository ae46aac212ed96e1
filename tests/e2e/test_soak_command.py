"""`./qold soak` refuses what it cannot do, before it starts anything."""

import pytest

from tests.support.commands import qold


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--faults", "nginx-kill,lightning"), "no fault lightning; there is: bolt-kill"),
        (("--faults", "brokers"), "brokers: with --brokers 3"),
        (("--minutes", "0"), "--minutes"),
        (("--rounds", "0"), "--rounds"),
        (("--rate", "5"), "--rate"),
        (("--markdown", "/nowhere/faults.md"), "cannot write /nowhere/faults.md"),
    ],
)
def test_wrong_words_are_usage(words, told):
    done = qold("soak", *words, code=2)
    assert told in done.stderr
    assert done.stdout == ""


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    kept = tmp_path / "kept"
    kept.write_text("mine", "utf-8")
    assert f"{tmp_path} is not empty" in qold("soak", "--state", tmp_path, code=2).stderr
    assert [*tmp_path.iterdir()] == [kept]


def test_missing_programs_are_named_with_what_provides_them(tmp_path):
    done = qold("soak", "--state", tmp_path / "new", code=3, PATH=str(tmp_path))
    assert "a soak needs java, javac, lein, mvn, nginx, ps, redis-server" in done.stderr
    assert "sudo apt install" in done.stderr


def test_help_names_every_fault():
    # A line may break behind a hyphen.
    text = " ".join(qold("soak", "--help").stdout.split()).replace("- ", "-")
    for name in ("everything", "redis-empty", "kairosdb-kill", "brokers", "cassandra-away"):
        assert f"{name}: " in text
