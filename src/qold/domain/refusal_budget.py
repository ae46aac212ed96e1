"""Refusal budget: how many refusals of one gateway are written in one hour; the others are counted.

The hour is the one in which the log appended the report. A refusal is charged to the gateway whose
token its report proved. Reports that prove no token share one budget, with a part for each id they
claim, so that a false claim uses up nothing of the gateway it names.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

HOUR_MS = 3_600_000
# Mean size in bytes that a budget allows a refusal; a refused reading with two digests has 460.
BYTES_EACH = 512
# Gateways times hours in memory, about 300 bytes each; past it the least recently used starts again.
MAX_TRACKED = 20_000
NO_GATEWAY = 0


class Refusal(Protocol):
    """What a budget reads of a refusal; `gateway_id` is `NO_GATEWAY` where none can be read."""

    @property
    def key(self) -> str: ...
    @property
    def index(self) -> int: ...
    @property
    def value(self) -> bytes: ...
    @property
    def reason(self) -> str: ...
    @property
    def readings(self) -> int: ...
    @property
    def gateway_id(self) -> int: ...
    @property
    def is_proven(self) -> bool: ...
    @property
    def appended_at_ms(self) -> int: ...


R = TypeVar("R", bound=Refusal)


class Account(NamedTuple):
    """One gateway in one hour (Unix ms of its start); `is_proven` if its token was right."""

    gateway_id: int
    is_proven: bool
    hour_ms: int


@dataclass(slots=True)
class Overrun:
    """Readings by reason that were counted and not written; `source`, `index` of the last of them."""

    account: Account
    counts: Counter[str] = field(default_factory=Counter)
    source: str = ""
    index: int = 0


@dataclass(slots=True)
class _Spent:
    limit: int
    records: int = 0
    size: int = 0

    def has_room(self, size: int) -> bool:
        return self.records < self.limit and self.size + size <= self.limit * BYTES_EACH

    def add(self, size: int) -> None:
        self.records += 1
        self.size += size


class RefusalBudget:
    """Decides for one task; all refusals of one gateway must come to the same task.

    `gateway_records` an hour for each gateway, `unproven_records` for all unproven claims together;
    each record also allows `BYTES_EACH`. State is in memory: a restarted task starts with a full budget.
    """

    def __init__(
        self, *, gateway_records: int, unproven_records: int, max_tracked: int = MAX_TRACKED
    ) -> None:
        self._gateway_records = gateway_records
        self._unproven_records = unproven_records
        self._max_tracked = max_tracked
        # Apart, so that false claims cannot push a gateway's account out of memory.
        self._proven: dict[Account, _Spent] = {}
        self._claimed: dict[Account, _Spent] = {}
        self._unproven: dict[Account, _Spent] = {}
        self._overruns: dict[Account, Overrun] = {}
        self._decided: dict[str, tuple[str, dict[tuple[str, int], bool]]] = {}

    def admit(self, message_id: str, refusals: Sequence[R]) -> list[R]:
        """The refusals to write; the others are added to `overruns`.

        `message_id` is `topic:partition:first-last` of the range they come from. A replay of the
        partition's last range is decided as before, and neither charged nor counted again.
        """
        place = message_id.rpartition(":")[0]
        last_id, decided = self._decided.get(place, ("", {}))
        if last_id != message_id:
            decided = {}
            self._decided[place] = message_id, decided
        admitted = []
        for refusal in refusals:
            identity = refusal.key, refusal.index
            if identity not in decided:
                decided[identity] = self._charge(refusal)
            if decided[identity]:
                admitted.append(refusal)
        return admitted

    def overruns(self) -> list[Overrun]:
        """What was counted since `clear_overruns`."""
        return list(self._overruns.values())

    def clear_overruns(self) -> None:
        """Forget the counts, after they were written."""
        self._overruns.clear()

    def _charge(self, refusal: Refusal) -> bool:
        size = len(refusal.value)
        hour_ms = refusal.appended_at_ms - refusal.appended_at_ms % HOUR_MS
        account = Account(refusal.gateway_id, refusal.is_proven, hour_ms)
        shared = Account(NO_GATEWAY, False, hour_ms)
        if account.is_proven:
            spent = [self._spent(self._proven, account, self._gateway_records)]
        else:
            total = self._spent(self._unproven, shared, self._unproven_records)
            # With the total spent, a new claim gets no account: its number has no bound.
            if account not in self._claimed and not total.has_room(size):
                return self._count(shared, refusal)
            spent = [total, self._spent(self._claimed, account, self._gateway_records)]
        if not all(budget.has_room(size) for budget in spent):
            is_own = not spent[-1].has_room(size)
            return self._count(account if is_own else shared, refusal)
        for budget in spent:
            budget.add(size)
        return True

    def _spent(self, table: dict[Account, _Spent], account: Account, limit: int) -> _Spent:
        spent = table.pop(account, None) or _Spent(limit)
        table[account] = spent
        if len(table) > self._max_tracked:
            del table[next(iter(table))]
        return spent

    def _count(self, account: Account, refusal: Refusal) -> bool:
        overrun = self._overruns.setdefault(account, Overrun(account))
        overrun.counts[refusal.reason] += refusal.readings
        overrun.source, overrun.index = refusal.key, refusal.index
        return False
