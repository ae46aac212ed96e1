"""How a service of the stand-in server answers."""

from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a service answers, for the next `times` requests or until told otherwise."""

    way: Way = "well"
    status: int = 500
    location: str = ""
    content: str = "no HTTP\n"
    seconds: float = 0.05
    times: int | None = None
