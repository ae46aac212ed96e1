"""Where human text goes: stderr, coloured on a terminal unless NO_COLOR is set."""

from rich.console import Console

stderr = Console(stderr=True, soft_wrap=True)
