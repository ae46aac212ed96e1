"""What a command needs on this machine before it begins."""

from cli.errors import MISSING, Failure
from local.services.profiles import Stack


def check_tools(who: str, found: Stack) -> None:
    """Raises `Failure` where a program is missing that the servers of a stack need."""
    missing = found.missing_tools()
    if missing:
        raise Failure(
            f"{who} needs {', '.join(sorted(missing))}",
            fix=f"sudo apt install {' '.join(sorted(set(missing.values())))}",
            exit_code=MISSING,
        )
