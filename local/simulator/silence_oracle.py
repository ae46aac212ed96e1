"""Who is silent and who is back, by the truth: every look at everybody, no code of `qold.domain`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from local.simulator.bounds import Bounds
from local.simulator.ledger import Heard

LOOK_EVERY_S = 15
LEAST_S = 3600
GRACE_S = 1200
EXACT_S, LATE_S = 300, 5400

Told = tuple[str, str, int]
"""kind, subject, fired at (s)."""


@dataclass(slots=True)
class _Listener:
    bounds: Mapping[int, Bounds]
    looks_at_moments: bool
    behind_s: int
    seen: dict[int, int]
    gateway_of: dict[int, int] = field(default_factory=dict)
    gateway_seen: dict[int, int] = field(default_factory=dict)
    longest: dict[int, int] = field(default_factory=dict)
    shortest: dict[int, int] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    back_at: dict[int, int] = field(default_factory=dict)
    told: set[Told] = field(default_factory=set)

    def hear(self, group: Iterable[Heard]) -> None:
        """Everything that reached the log at one moment."""
        for heard in group:
            age_s = heard.received_s - heard.at_s
            at_s = heard.at_s if 0 <= age_s <= EXACT_S else heard.received_s
            self._hear_gateway(heard.gateway, at_s)
            if age_s <= LATE_S:
                self._hear_device(heard.device_id, heard.gateway, at_s)

    def look(self, at_s: int) -> None:
        """Judge everybody, as they were a while ago unless they were heard since."""
        at_s -= self.behind_s
        for gateway, seen_s in self.gateway_seen.items():
            fired_s = seen_s + 3 * self.longest.get(gateway, 0)
            if f"gateway:{gateway}" not in self.silent and at_s >= fired_s:
                self._tell("gateway", gateway, "silent", fired_s)
        for device_id, seen_s in self.seen.items():
            gateway = self.gateway_of.get(device_id, 0)
            if gateway and (
                f"gateway:{gateway}" in self.silent
                or at_s - self.gateway_seen[gateway] > self.shortest[gateway]
            ):
                continue
            fired_s = max(seen_s, self.back_at.get(gateway, 0)) + self._limit_s(device_id)
            if f"device:{device_id}" not in self.silent and at_s >= fired_s:
                self._tell("device", device_id, "silent", fired_s)

    def next_s(self) -> int:
        """Before that, nobody can fall silent."""
        gateways = [
            seen_s + 3 * self.longest.get(gateway, 0)
            for gateway, seen_s in self.gateway_seen.items()
            if f"gateway:{gateway}" not in self.silent
        ]
        devices = [
            seen_s + self._limit_s(device_id)
            for device_id, seen_s in self.seen.items()
            if f"device:{device_id}" not in self.silent
        ]
        return min([*gateways, *devices], default=2**40) + self.behind_s

    def _limit_s(self, device_id: int) -> int:
        return max(LEAST_S, 4 * self.bounds[device_id].interval_s)

    def _hear_gateway(self, gateway: int, at_s: int) -> None:
        name = f"gateway:{gateway}"
        if name in self.silent and at_s > self.gateway_seen[gateway]:
            self.back_at[gateway] = at_s
            self._tell("gateway", gateway, "back", at_s)
        self.gateway_seen[gateway] = max(at_s, self.gateway_seen.get(gateway, 0))

    def _hear_device(self, device_id: int, gateway: int, at_s: int) -> None:
        self.gateway_of[device_id] = gateway
        interval_s = self.bounds[device_id].interval_s
        self.longest[gateway] = max(interval_s, self.longest.get(gateway, 0))
        self.shortest[gateway] = min(interval_s, self.shortest.get(gateway, interval_s))
        if f"device:{device_id}" in self.silent and at_s > self.seen[device_id]:
            self._tell("device", device_id, "back", at_s)
        self.seen[device_id] = max(at_s, self.seen[device_id])

    def _tell(self, what: str, identity: int, event: str, fired_s: int) -> None:
        name = f"{what}:{identity}"
        if event == "silent":
            self.silent.add(name)
        else:
            self.silent.discard(name)
        self.told.add((f"{what}.{event}", name, fired_s))


def expected_silences(
    heard: Sequence[Heard],
    bounds: Mapping[int, Bounds],
    *,
    start_s: int,
    end_s: int,
    slack_s: int = 0,
) -> tuple[set[Told], set[Told]]:
    """What must have been told, and what may have been.

    They differ by whether a look at the very moment of a sending sees what came then, and by
    whether the looks are at once or up to `slack_s` behind.
    """
    told = [
        _listen(
            heard,
            _Listener(bounds, looks, behind_s, dict.fromkeys(bounds, start_s)),
            start_s,
            end_s,
        )
        for looks, behind_s in {(False, 0), (True, 0), (False, slack_s)}
    ]
    return set.intersection(*told), set.union(*told)


def _listen(heard: Sequence[Heard], listener: _Listener, start_s: int, end_s: int) -> set[Told]:
    now_s = start_s
    attentive_s = start_s + GRACE_S
    for received_s, group in groupby(heard, key=attrgetter("received_s")):
        _wait(listener, max(now_s, attentive_s), received_s)
        listener.hear(group)
        now_s = received_s
        if listener.looks_at_moments and now_s >= attentive_s:
            listener.look(now_s)
    _wait(listener, max(now_s, attentive_s), end_s + 1)
    return listener.told


def _wait(listener: _Listener, from_s: int, until_s: int) -> None:
    """The looks between two moments at which something was heard."""
    at_s = from_s // LOOK_EVERY_S * LOOK_EVERY_S + LOOK_EVERY_S
    while at_s < until_s:
        next_s = listener.next_s()
        if next_s > at_s:
            at_s = -(-next_s // LOOK_EVERY_S) * LOOK_EVERY_S
            if at_s >= until_s:
                return
        listener.look(at_s)
        at_s += LOOK_EVERY_S
