"""Where human text goes: stderr, coloured on a terminal unless NO_COLOR is set."""

from local.console import PlainConsole

stderr = PlainConsole(stderr=True, soft_wrap=True)
