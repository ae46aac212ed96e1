"""No legacy API: readings are counted and let go."""

from collections.abc import Mapping


class NoLegacyApi:
    """`posted` is how many there were."""

    def __init__(self) -> None:
        self.posted = 0

    def post(self, reading: Mapping[str, str]) -> None:
        self.posted += 1

    def ping(self) -> None:
        """There is nobody to answer."""

    def close(self) -> None:
        """There is nothing to let go of."""
