"""The script ./qold itself, in a copy of its own with Pythons that only pretend; no network."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.commands import PATIENCE_S, ROOT
from tests.support.processes import wait_until

TOOLS = (
    "sh",
    "cat",
    "cksum",
    "cp",
    "dirname",
    "env",
    "id",
    "ln",
    "mkdir",
    "readlink",
    "rm",
    "sleep",
)

# Pretends to be a Python, and the one of the environment it makes: tells its words, one a line.
PYTHON = """\
#!/bin/sh
echo "${0##*/} $*" >>"$CALLS"
case "$1 $2" in
    "-c import venv, ensurepip") exit "${NO_VENV:-0}" ;;
    "-c import pip") [ -z "${NO_PIP:-}" ] || exit 1 ;;
    "-c import sys; sys.exit"*) exit "${TOO_OLD:-0}" ;;
    "-c import sys; print"*) echo 3.12 ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip") [ -z "${BLOCKED:-}" ] || cat "$BLOCKED"; exit "${PIP:-0}" ;;
    "-P -m") printf '%s\\n' "$PYTHONPATH" "$@"; exit "${CODE:-0}" ;;
    *) exit 99 ;;
esac
"""
NO_PROCESS = 2**22 + 1  # beyond the largest process id of Linux
NOBODY = 65_534
OLD = "#!/bin/sh\nexit 1\n"


class Checkout:
    """A folder with the script, and a PATH with nothing but a shell's tools and our Pythons."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout"
        self.path = folder / "bin"
        self.calls_file = folder / "calls"
        self.calls_file.touch()
        self.path.mkdir()
        for tool in TOOLS:
            (self.path / tool).symlink_to(str(shutil.which(tool)))
        (self.root / "requirements").mkdir(parents=True)
        for lock in ("qold", "dev"):
            self.lock(lock).write_text(f"{lock} 1\n", "utf-8")
        shutil.copy2(ROOT / "qold", self.root)

    def lock(self, name: str) -> Path:
        return self.root / "requirements" / f"{name}.lock"

    def add(self, name: str, script: str = PYTHON) -> Path:
        """Put a program on the PATH."""
        file = self.path / name
        file.write_text(script, "utf-8")
        file.chmod(0o755)
        return file

    def calls(self) -> list[str]:
        """What the pretended Pythons were asked since the last time, name first."""
        told = self.calls_file.read_text("utf-8").splitlines()
        self.calls_file.write_text("", "utf-8")
        return told

    def environment(self, **more: object) -> dict[str, str]:
        added = {name: str(value) for name, value in more.items()}
        return {"PATH": str(self.path), "CALLS": str(self.calls_file), **added}

    def run(
        self,
        *words: str,
        code: int = 0,
        start: Path | None = None,
        folder: Path | None = None,
        user: int | None = None,
        **environ: object,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [start or self.root / "qold", *words],
            cwd=folder or self.root,
            env=self.environment(**environ),
            user=user,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done

    def has_left_nothing(self) -> bool:
        return {path.name for path in self.root.iterdir()} == {"qold", "requirements"}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_words_and_exit_code_go_through(checkout: Checkout) -> None:
    """Blanks, quotes, globs, an empty word, a newline and umlauts."""
    checkout.add("python3")
    words = ["query", "Milk fridge", "", "*", "'\"$HOME\\", "two\nlines", "Käse", "--", "-x"]
    done = checkout.run(*words, code=7, CODE=7)
    root = checkout.root
    assert done.stdout == "\n".join([f"{root}/src:{root}", "-P", "-m", "cli", *words, ""])
    others = checkout.run("status", PYTHONPATH="/mine").stdout
    assert others.startswith(f"{root}/src:{root}:/mine\n")


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        ({"python3.11": PYTHON, "python3": PYTHON}, "python3.11"),
        ({"python3.13": PYTHON, "python3.12": PYTHON}, "python3.13"),
        ({"python3.12": OLD, "python3": PYTHON}, "python3"),
    ],
)
def test_the_newest_python_that_will_do_is_found(
    checkout: Checkout, there: dict[str, str], chosen: str
) -> None:
    for name, script in there.items():
        checkout.add(name, script)
    checkout.run("version")
    assert f"{chosen} -m venv {checkout.root}/.venv" in checkout.calls()


def test_a_named_python_wins(checkout: Checkout, tmp_path: Path) -> None:
    checkout.add("python3")
    mine = checkout.add("mine").rename(tmp_path / "mine")
    checkout.run("version", QOLD_PYTHON=mine)
    assert f"mine -m venv {checkout.root}/.venv" in checkout.calls()


@pytest.mark.parametrize("there", [{}, {"python3": OLD}, {"python3.13": OLD, "python3.11": OLD}])
def test_without_a_python_new_enough_it_says_what_to_do(
    checkout: Checkout, there: dict[str, str]
) -> None:
    for name, script in there.items():
        checkout.add(name, script)
    done = checkout.run("demo", code=3)
    assert "needs Python 3.11 or newer" in done.stderr
    assert "sudo apt install python3 python3-venv" in done.stderr
    assert done.stdout == ""
    assert checkout.has_left_nothing()


def test_a_named_python_that_is_not_there_is_no_reason_to_take_another(checkout: Checkout) -> None:
    checkout.add("python3")
    checkout.run("demo", code=3, QOLD_PYTHON="/nowhere/python3.12")
    assert checkout.calls() == []


def test_without_the_venv_module_it_names_the_package(checkout: Checkout) -> None:
    checkout.add("python3")
    done = checkout.run("demo", code=3, NO_VENV=1)
    assert "sudo apt install python3.12-venv" in done.stderr
    assert checkout.has_left_nothing()


def test_it_sets_itself_up_once_and_again_when_the_lock_changes(checkout: Checkout) -> None:
    checkout.add("python3")
    first = checkout.run("version")
    assert "setting up" in first.stderr
    assert installs(checkout) == [checkout.lock("qold")]
    second = checkout.run("version")
    assert second.stderr == ""
    assert installs(checkout) == []
    checkout.lock("qold").write_text("qold 2\n", "utf-8")
    checkout.run("version")
    assert installs(checkout) == [checkout.lock("qold")]


def installs(checkout: Checkout) -> list[Path]:
    """The locks that were installed since the last time, each with its hashes required."""
    wanted = [call for call in checkout.calls() if " install " in call]
    assert all("--require-hashes" in call for call in wanted)
    return [Path(call.partition(" -r ")[2]) for call in wanted]


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077], ids=oct)
def test_under_each_umask_it_works_and_nobody_else_may_write_its_packages(
    checkout: Checkout, mask: int
) -> None:
    checkout.add("python3")
    kept = os.umask(mask)
    try:
        checkout.run("version")
        assert checkout.run("version").stderr == ""
    finally:
        os.umask(kept)
    made = [checkout.root / ".venv", *(checkout.root / ".venv").rglob("*")]
    assert {path.name for path in made} >= {".venv", "bin", "qold.stamp"}
    assert [path for path in made if path.lstat().st_mode & 0o022] == []


@pytest.mark.parametrize("word", ["test", "check"])
def test_tests_need_the_larger_lock_which_holds_the_smaller(checkout: Checkout, word: str) -> None:
    checkout.add("python3")
    checkout.run(word)
    assert installs(checkout) == [checkout.lock("dev")]
    checkout.run("demo")
    assert installs(checkout) == []


def test_uv_is_used_where_it_is(checkout: Checkout) -> None:
    checkout.add("python3")
    checkout.add("uv", '#!/bin/sh\necho "uv $*" >>"$CALLS"\n')
    checkout.run("version")
    (call,) = (call for call in checkout.calls() if " install " in call)
    assert call.startswith(f"uv pip install --quiet --python {checkout.root}/.venv/bin/python ")


def test_a_failed_installation_is_tried_again(checkout: Checkout) -> None:
    checkout.add("python3")
    done = checkout.run("version", code=3, PIP=1)
    assert "could not be installed" in done.stderr
    assert not (checkout.root / ".venv.lock").is_symlink()
    checkout.run("version")
    assert installs(checkout) == [checkout.lock("qold")] * 2


def test_a_broken_environment_is_made_anew(checkout: Checkout) -> None:
    """Its Python is gone, as after an upgrade of the system's; or it has no pip."""
    checkout.add("python3")
    checkout.run("version")
    (checkout.root / ".venv" / "bin" / "python").unlink()
    checkout.run("version")
    checkout.lock("qold").write_text("qold 2\n", "utf-8")
    checkout.run("version", NO_PIP=1)
    made = [call for call in checkout.calls() if call.startswith("python3 -m venv")]
    assert len(made) == 3


@pytest.mark.parametrize("kind", ["absolute", "relative", "of a link", "of the folder"])
def test_a_link_to_it_starts_it(checkout: Checkout, tmp_path: Path, kind: str) -> None:
    """From another folder, whose own files are of no matter."""
    checkout.add("python3")
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    start = elsewhere / "qold"
    if kind == "of the folder":
        start.symlink_to(checkout.root)
        start /= "qold"
    else:
        near = checkout.root / "qold"
        start.symlink_to(os.path.relpath(near, elsewhere) if kind == "relative" else near)
    if kind == "of a link":
        (elsewhere / "q").symlink_to("qold")
        start = elsewhere / "q"
    done = checkout.run("version", start=start, folder=elsewhere)
    assert done.stdout.startswith(f"{checkout.root}/src:")
    assert (checkout.root / ".venv").is_dir()


def test_found_on_the_path(checkout: Checkout, tmp_path: Path) -> None:
    checkout.add("python3")
    (checkout.path / "qold").symlink_to(checkout.root / "qold")
    done = subprocess.run(
        ["sh", "-c", "qold version"],
        cwd=tmp_path,
        env=checkout.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{checkout.root}/src:")


def runs_in(group: int, program: str) -> bool:
    """Whether a process of the group has become that program."""
    for name in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # it has ended
            is_program = name.read_text("utf-8").strip() == program
            if is_program and os.getpgid(int(name.parent.name)) == group:
                return True
    return False


@pytest.fixture
def blocked(checkout: Checkout, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A start whose installation goes on until the pipe is written to."""
    checkout.add("python3")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [checkout.root / "qold", "version"],
        env=checkout.environment(BLOCKED=pipe),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        # Not before: a shell that is interrupted while it starts a program waits for that first.
        wait_until(lambda: runs_in(process.pid, "cat"), "it installs")
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_ctrl_c_while_it_sets_itself_up_leaves_no_lock(
    checkout: Checkout, blocked: subprocess.Popen[str]
) -> None:
    os.killpg(blocked.pid, signal.SIGINT)
    assert blocked.wait(PATIENCE_S) == 130
    assert not (checkout.root / ".venv.lock").is_symlink()
    checkout.run("version")


def test_a_second_start_waits_for_the_first(
    checkout: Checkout, blocked: subprocess.Popen[str], tmp_path: Path
) -> None:
    told = tmp_path / "told"
    with told.open("w") as errors:
        second = subprocess.Popen(
            [checkout.root / "qold", "version"], env=checkout.environment(), stderr=errors
        )
    try:
        wait_until(lambda: "another start is setting up" in told.read_text("utf-8"), "it waits")
        (tmp_path / "pipe").write_text("go on\n", "utf-8")
        assert blocked.wait(PATIENCE_S) == 0
        assert second.wait(PATIENCE_S) == 0
    finally:
        second.kill()
        second.wait()
    assert installs(checkout) == [checkout.lock("qold")], "once"


def test_a_lock_left_by_a_killed_start_is_taken_over(checkout: Checkout) -> None:
    checkout.add("python3")
    guard = checkout.root / ".venv.lock"
    guard.symlink_to(str(NO_PROCESS))
    checkout.run("version")
    assert not guard.is_symlink()


def test_where_it_may_not_write_it_says_so() -> None:
    """Outside of pytest's folders, which only their owner may enter; root may write anywhere."""
    with tempfile.TemporaryDirectory() as folder:
        checkout = Checkout(Path(folder))
        checkout.add("python3")
        Path(folder).chmod(0o755)
        checkout.root.chmod(0o555)
        is_root = os.geteuid() == 0
        done = checkout.run("demo", code=3, user=NOBODY if is_root else None)
        assert f"{checkout.root} is not writable" in done.stderr
        checkout.root.chmod(0o755)


def test_the_real_command_is_run_and_not_what_lies_around(
    checkout: Checkout, tmp_path: Path
) -> None:
    """With this Python and the real code, started in a folder that has modules of our names."""
    checkout.add("python3")
    checkout.run("version")
    real = checkout.root / ".venv" / "bin" / "python"
    real.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', "utf-8")
    for name in ("cli", "gateway", "local", "src", "topologies", "VERSION"):
        (checkout.root / name).symlink_to(ROOT / name)
    around = tmp_path / "around"
    around.mkdir()
    for name in ("cli", "qold", "json"):
        (around / f"{name}.py").write_text("raise SystemExit(66)\n", "utf-8")
    version = (ROOT / "VERSION").read_text("utf-8").strip()
    assert version in checkout.run("version", folder=around).stdout
    done = checkout.run("nonsense", folder=around, code=2)
    assert "No such command" in done.stderr
