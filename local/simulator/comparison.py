"""What is to be there against what is found there: counts by kind, and a few examples."""

from typing import Any, ClassVar


class Comparison:
    """Of a verdict with a count for each kind of difference, under the name of that kind."""

    __slots__ = ()
    most_examples: ClassVar[int] = 5
    examples: list[str]

    def note(self, kind: str, count: int, what: str) -> None:
        """Count a difference, and keep it as an example while there are few."""
        setattr(self, kind, getattr(self, kind) + count)
        if len(self.examples) < self.most_examples:
            self.examples.append(f"{count} {kind}: {what}")

    def compare(
        self, what: str, certain: set[Any], found: set[Any], *, possible: set[Any] | None = None
    ) -> None:
        """Note what is missing, and what is neither `certain` nor `possible`."""
        allowed = certain if possible is None else possible
        for kind, difference in (("missing", certain - found), ("unexpected", found - allowed)):
            if difference:
                example = min(difference, key=repr)
                self.note(kind, len(difference), f"{what}, such as {example!r}")
