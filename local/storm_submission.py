"""Submitting topologies to the Storm of a state folder with streamparse's own `sparse`."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from local.programs import ROOT
from local.services import storm
from local.services.place import Place
from qold.private_files import make_folder, write_private
from qold.settings import Settings

ENVIRONMENT = "local"
KILL_WAIT_S = 1
_SHARED = ("src", "topologies", "virtualenvs", "project.clj")


class SubmissionError(RuntimeError):
    """`sparse` failed; the text is what it said last."""


class Submission:
    """A project folder of its own: `sparse` builds in the folder where it runs.

    `settings` are those that topologies get with them, by default those of the place.
    """

    def __init__(
        self, place: Place, *, folder: Path | None = None, settings: Settings | None = None
    ) -> None:
        self._place = place
        self.folder = folder or place.folder("storm") / "project"
        self._state = settings.state_dir if settings else str(place.state)
        self._is_given = settings is not None
        self._prefix = settings.topology_prefix if settings else ""
        self.jar = ""

    def lay_out(self) -> None:
        """Make the project's files."""
        make_folder(self.folder)
        for name in _SHARED:
            link = self.folder / name
            if not link.is_symlink():
                link.symlink_to(ROOT / name)
        config = json.loads((ROOT / "config.json").read_text("utf-8"))
        ui_port = self._place.port("storm-ui")
        config["envs"] = {ENVIRONMENT: {**config["envs"][ENVIRONMENT], "ui.port": ui_port}}
        write_private(self.folder / "config.json", json.dumps(config, indent=4))

    def prepare(self) -> None:
        """The project's files, and its jar made anew; raises `SubmissionError`."""
        self.lay_out()
        said = self.sparse("jar", "--simple_jar")
        jars = [line.partition(" created: ")[2] for line in said.splitlines()]
        self.jar = next(filter(None, jars), "")

    def submit(self, name: str, *options: str) -> None:
        """Submit a topology, in place of the one of this name that runs; raises `SubmissionError`.

        `options` are further words for `sparse submit`, such as `-o`, `topology.workers=2`.
        """
        names = ("-n", name, *(("-N", self._prefix + name) if self._prefix else ()))
        where = ("-e", ENVIRONMENT, "--local_jar_path", self.jar)
        self.sparse("submit", *names, "-f", "--wait", str(KILL_WAIT_S), *where, *options)

    def sparse(self, *words: str) -> str:
        """Run `sparse`; returns what it said."""
        # Settings that were given are all there is to say; what a shell has is of another state.
        outside = {name: v for name, v in os.environ.items() if not name.startswith("QOLD_")}
        own = {**storm.environment(self._place), "QOLD_STATE": self._state}
        environ = {**(outside if self._is_given else os.environ), **own}
        done = subprocess.run(
            [str(storm.COMMANDS / "sparse"), *words],
            cwd=self.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            last = "\n".join(_without_noise(done.stdout)[-12:])
            raise SubmissionError(f"sparse {' '.join(words[:3])} failed:\n{last}")
        return done.stdout


def _without_noise(said: str) -> Sequence[str]:
    return [line for line in said.splitlines() if line.strip() and "Warning" not in line]
