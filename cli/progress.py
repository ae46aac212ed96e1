"""What `up` is doing: bars for what is fetched on a terminal, lines elsewhere."""

import re
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from cli.console import stderr

_FETCHED = re.compile(r"(.+): (\d+) of (\d+) jars")


class StartProgress:
    """A context; call it with each text."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
        )
        self._bars = Progress(*columns, console=stderr, disable=not stderr.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, text: str) -> None:
        match = _FETCHED.fullmatch(text)
        if match is None:
            self._bars.console.print(text)
            return
        name, have, want = match[1], int(match[2]), int(match[3])
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(f"fetching {name}", total=want)
            if not stderr.is_terminal and have < want:
                stderr.print(f"fetching {want} jars of {name}")
        self._bars.update(self._tasks[name], completed=have, visible=have < want)

    def __enter__(self) -> "StartProgress":
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()
