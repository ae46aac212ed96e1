"""How far a list of rows has been worked off by several lanes, each of which keeps its order."""

from dataclasses import dataclass


def lane_of(device_id: int, shards: int, lanes: int) -> int:
    """A device's lane; of the devices of one shard, as many lanes as there are have work."""
    return device_id // max(shards, 1) % lanes


@dataclass(slots=True)
class Progress:
    """`begins` names the first row, `done` the last offset that each lane is done with (-1: none).

    It holds for what begins alike only: a log that was made anew, or a reader set back on purpose,
    begins with other rows and from nothing.
    """

    begins: str
    done: list[int]

    @classmethod
    def resumed(cls, stored: "Progress | None", begins: str, lanes: int) -> "Progress":
        """What is stored where it is of these rows and lanes, else nothing done."""
        if stored is not None and stored.begins == begins and len(stored.done) == lanes:
            return stored
        return cls(begins, [-1] * lanes)
