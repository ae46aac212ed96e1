"""How a service of the stand-in server answers."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

Service = Literal["qold-app", "qold-sms", "keen", "qold-hw-api"]
Way = Literal[
    "well",  # as it should
    "slow",  # answers after `seconds`
    "status",  # takes nothing and answers `status`
    "html",  # a page of something in between
    "garbage",  # `content` instead of HTTP
    "refuse",  # closes the connection without a word
    "hang",  # takes nothing and never answers
    "silent",  # takes it and never answers
    "cut",  # takes it and closes the connection within the answer
    "trickle",  # takes it and answers a byte at a time
    "trickle-body",  # likewise, after the headers
]
TAKES: frozenset[Way] = frozenset({"well", "slow", "silent", "cut", "trickle", "trickle-body"})


# Seconds; a longer delay would only keep threads.
MAX_SLOW_S = 3600.0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a service answers, for the next `times` requests or until told otherwise."""

    way: Way = "well"
    status: int = 500
    location: str = ""
    content: str = "no HTTP\n"
    seconds: float = 0.05
    times: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what no answer can be made of."""
        is_number = type(self.seconds) in (int, float) and math.isfinite(self.seconds)
        sound = {
            "way": self.way in get_args(Way),
            "status": type(self.status) is int and 100 <= self.status <= 599,
            "location": isinstance(self.location, str) and self.location.isprintable(),
            "content": isinstance(self.content, str),
            "seconds": is_number and 0 <= self.seconds <= MAX_SLOW_S,
            "times": self.times is None or (type(self.times) is int and self.times >= 0),
        }
        wrong = [name for name, is_sound in sound.items() if not is_sound]
        if wrong:
            raise ValueError(f"not a behaviour: {', '.join(wrong)}")


def parse_behaviour(document: object) -> tuple[Service, Behaviour]:
    """Parse {service, way, …} from JSON; raises ValueError."""
    if not isinstance(document, dict) or "way" not in document:
        raise ValueError("a service and a way are needed")
    fields: dict[str, Any] = dict(document)
    service = fields.pop("service", None)
    if service not in get_args(Service):
        raise ValueError("no such service")
    try:
        return service, Behaviour(**fields)
    except TypeError:
        raise ValueError("no such field") from None
