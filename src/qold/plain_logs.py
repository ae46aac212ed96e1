"""Log records whose values cannot begin a line of their own or move a terminal's cursor."""

import logging
import traceback
from types import TracebackType

from qold.plain_text import visible

_ExcInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None] | None
)


class PlainRecord(logging.LogRecord):
    """A log record whose message is one line, and whose traceback holds no control characters."""

    def getMessage(self) -> str:
        return visible(super().getMessage())

    @property
    def exc_text(self) -> str | None:
        """The traceback that every formatter uses."""
        return self._exc_text

    @exc_text.setter
    def exc_text(self, text: str | None) -> None:
        info: _ExcInfo = self.exc_info
        if text is None and info and info[0] is not None:
            text = "".join(traceback.format_exception(*info)).rstrip("\n")
        self._exc_text = text and visible(text, keep="\n\t")


def keep_logs_plain() -> None:
    """Make every log record of this process a `PlainRecord`, whichever logger and handler it takes."""
    logging.setLogRecordFactory(PlainRecord)
