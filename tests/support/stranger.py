"""Code run as another user of the machine, who owns nothing here; only root can become one."""

import os
import pickle
import traceback
import warnings
from collections.abc import Callable
from typing import TypeVar

import pytest

STRANGER = 61_789
"""User and group id without an entry in /etc/passwd: no file of the machine belongs to it."""

T = TypeVar("T")

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="acts as a second user of the machine: run it as root"
)


def as_stranger(act: Callable[[], T], *, umask: int = 0o022) -> T:
    """Return what `act` returns in a forked process without rights; raises what it raises.

    Modules must be imported before: the stranger may not be able to read them. The result is
    pickled.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads; the child takes no lock of another thread.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.close(reading)
        _finish(act, umask, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        content = file.read()
    os.waitpid(pid, 0)
    assert content, "the stranger's process ended without a result"
    result, error, trace = pickle.loads(content)  # noqa: S301  # written by the child above
    if error is not None:
        error.add_note(trace)
        raise error
    return result


def _finish(act: Callable[[], object], umask: int, writing: int) -> None:
    outcome: tuple[object, BaseException | None, str] = (None, None, "")
    try:
        os.umask(umask)
        os.setgroups([])
        os.setresgid(STRANGER, STRANGER, STRANGER)
        os.setresuid(STRANGER, STRANGER, STRANGER)
        outcome = (act(), None, "")
    except BaseException as exc:  # noqa: BLE001  # raised again in the parent
        outcome = (None, exc, traceback.format_exc())
    try:
        with os.fdopen(writing, "wb") as file:
            file.write(pickle.dumps(outcome))
    finally:
        os._exit(0)
