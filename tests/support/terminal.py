"""Commands of ./qold on a terminal: what they put on the screen, and what they write beside it."""

import os
import subprocess

from tests.support.commands import ROOT, command_line, environment


def on_terminal(*words: object) -> tuple[int, bytes, str]:
    """Exit code, everything sent to the terminal on stderr, and stdout."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        command_line(*words),
        cwd=ROOT,
        env=environment(TERM="xterm", COLUMNS=100, LINES=30),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    screen = b""
    try:
        while data := _read(ours):
            screen += data
        out, _ = process.communicate()
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return process.returncode, screen, out.decode()


def _read(descriptor: int) -> bytes:
    """What comes next, nothing once the other side has closed it (then Linux reports EIO)."""
    try:
        return os.read(descriptor, 65_536)
    except OSError:
        return b""
