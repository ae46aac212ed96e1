"""`up`: the servers of a profile, then the topologies, kept running until somebody stops it."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from local.embedded import prepare, topology_programs
from local.programs import Keeper
from local.services.place import Place
from local.services.profiles import Stack, stack, write_settings
from local.services.servers import PATIENCE_S, Stopped, Tell, bring_up
from local.storm_submission import Submission
from local.topologies import topology_names
from qold.ports import Unavailable
from qold.private_files import make_folder, write_private
from qold.settings import Settings, SettingsError

PROCESSES_FILE = "run/processes.json"


def stack_of(settings: Settings) -> Stack:
    """The servers that the profile of a state folder has."""
    return stack(settings.profile, Place(settings.state_dir), brokers=settings.brokers)


def start(
    found: Stack,
    settings: Settings,
    keeper: Keeper,
    *,
    tell: Tell,
    is_stopping: Callable[[], bool],
) -> None:
    """Start everything; raises what `bring_up` raises, and `SubmissionError`."""
    write_settings(settings.state_dir, found)
    settings = Settings.load(settings.state_dir)
    if settings.profile != found.profile:
        raise SettingsError([f"profile: {settings.profile} in qold.toml or QOLD_PROFILE wins"])
    for wave in found.waves:
        bring_up(*wave, keeper=keeper, tell=tell, is_stopping=is_stopping)
    tell("making topics and schemas")
    prepare_patiently(settings, is_stopping=is_stopping)
    if not found.is_on_storm:
        keeper.add(*topology_programs(settings))
        return
    submission = Submission(Place(settings.state_dir))
    tell("building the topologies' jar")
    submission.prepare()
    for name in topology_names():
        submission.submit(name)
        tell(f"{name} is submitted")


def prepare_patiently(
    settings: Settings, *, is_stopping: Callable[[], bool] = lambda: False
) -> None:
    """Topics and schemas; a server that has just started may need longer than a call may take.

    Raises `Unavailable` after `PATIENCE_S`, and `Stopped`.
    """
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return prepare(settings)
        except Unavailable:
            if is_stopping():
                raise Stopped from None
            if time.monotonic() > give_up_at:
                raise
        time.sleep(1.0)


def note_processes(settings: Settings, keeper: Keeper) -> None:
    """Tell other commands which process is which."""
    path = Path(settings.state_dir) / PROCESSES_FILE
    make_folder(path.parent)
    write_private(path, json.dumps({"up": os.getpid(), **keeper.pids()}))


def noted_processes(settings: Settings) -> dict[str, int]:
    """What `note_processes` told last."""
    try:
        found: dict[str, int] = json.loads(
            (Path(settings.state_dir) / PROCESSES_FILE).read_text("utf-8")
        )
    except (OSError, ValueError):
        return {}
    return found
