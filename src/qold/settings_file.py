"""The text of a settings file, read within bounds."""

import os
import stat
from pathlib import Path

from qold.private_files import open_private

# A settings file with every setting and its comments has 4 KiB.
MAX_SETTINGS_BYTES = 1024 * 1024


def read_settings_text(path: Path) -> str:
    """The text of a settings file of ours; raises `NotPrivate`, OSError and UnicodeDecodeError."""
    # Not blocking: opening a pipe would wait for its writer.
    descriptor = open_private(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_SETTINGS_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_SETTINGS_BYTES:
        raise OSError(f"is longer than {MAX_SETTINGS_BYTES} bytes")
    return content.decode("utf-8")
