"""Attack: what a gateway with a certificate and a token sends to do harm, and what may come of it."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from qold.provisioning import NewDevice, NewGateway
from qold.records import VERSION

# Bytes of a report of nothing but empty batches: 660 000 of them. Each was one record before.
EMPTY_BATCHES_BYTES = 2_000_000
# Readings of a report at most, so that it is taken apart and not refused whole.
MALFORMED_READINGS = 5_000
# Readings of a report whose device token is wrong: each is a refusal of its own.
WRONG_TOKEN_READINGS = 500
# Seconds by which a report may be later on the log than the newest reading in it.
LATE_S = 60
KINDS = frozenset(
    (
        "malformed",
        "oversized",
        "newer-version",
        "bad-device-token",
        "bad-gateway-token",
        "over-budget",
    )
)
"""Reasons that the reports of an attack may be refused for."""

Rejected = Mapping[str, Any]
"""A decoded record of `reports.rejected` or of a topic of dead letters."""


class Refusal(NamedTuple):
    """One honest reading that is refused; `device_id` is 0 in a record that names none."""

    reason: str
    gateway_id: int
    device_id: int
    at_s: int


@dataclass(slots=True)
class Attack:
    """The attacker's credentials, and whose id it claims; `poison` and `since_s` are its account."""

    gateway: NewGateway
    device: NewDevice
    victim: NewGateway
    poison: dict[str, str] = field(default_factory=dict)
    """Reason of the one refusal of each poisonous record by its source; empty for none."""
    since_s: int | None = None
    """When it began to claim the victim's id."""

    def empty_batches(self) -> bytes:
        """A report of 660 000 batches, each malformed."""
        return self._report(b"[]," * (EMPTY_BATCHES_BYTES // 3) + b"[]")

    def malformed(self, at_s: int) -> bytes:
        """As many readings as a report may have, each malformed."""
        return self._report(self._batch(self.device.auth, at_s, MALFORMED_READINGS, '"cold"'))

    def wrong_tokens(self, at_s: int) -> bytes:
        """Well-formed readings of a device whose token is wrong."""
        return self._report(self._batch(self.device.auth + 1, at_s, WRONG_TOKEN_READINGS, "4.2"))

    def false_claim(self, at_s: int) -> bytes:
        """One reading, which the victim did not send."""
        return self._report(self._batch(self.device.auth, at_s, 1, "4.2"), self.victim.id)

    def owns(self, record: Rejected) -> bool:
        """Whether a refusal comes from the attack, and not from an honest gateway."""
        gateway_id = record["gateway"]
        if record["reason"] == "over-budget" and not record["proven"]:
            return self.since_s is not None and gateway_id in (None, self.victim.id)
        return (
            gateway_id == self.gateway.id
            or record["source"] in self.poison
            or _device_of(record) == self.device.id
        )

    def displaceable(self, refused: Iterable[Refusal]) -> set[Refusal]:
        """Honest refusals that prove no token, so that false claims of the same id may displace them.

        The victim with a wrong token cannot be told from the attacker (docs/adr/0030).
        """
        if self.since_s is None:
            return set()
        earliest_s = self.since_s - LATE_S
        return {
            refusal
            for refusal in refused
            if refusal.reason == "bad-gateway-token"
            and refusal.gateway_id == self.victim.id
            and refusal.at_s >= earliest_s
        }

    def faults(self, owned: Iterable[Rejected]) -> list[tuple[str, str]]:
        """(`missing` or `unexpected`, what): poison without its one refusal, and refusals of a foreign kind."""
        found: dict[str, set[str]] = defaultdict(set)
        faults = []
        for record in owned:
            reason, source = record["reason"], record["source"]
            if source in self.poison and reason != "over-budget":
                found[source].add(reason)
            elif reason not in KINDS or "gateway" not in record:
                faults.append(("unexpected", f"{reason} for {source}"))
        for source, reason in self.poison.items():
            wanted = {reason} - {""}
            faults += [("missing", f"{one} for {source}") for one in wanted - found[source]]
            faults += [("unexpected", f"{one} for {source}") for one in found[source] - wanted]
        return faults

    def _report(self, batches: bytes, gateway_id: int | None = None) -> bytes:
        claimed = self.gateway.id if gateway_id is None else gateway_id
        gateway = {"id": claimed, "auth": self.gateway.auth}
        head = f'{{"v":{VERSION},"gateway":{json.dumps(gateway)},"batches":['
        return head.encode() + batches + b"]}"

    def _batch(self, auth: int, at_s: int, count: int, temp: str) -> bytes:
        device = json.dumps({"id": self.device.id, "auth": auth})
        reading = f'{{"temp":{temp},"time":{at_s},"batt":88}}'
        readings = ",".join([reading] * count)
        return f'{{"device":{device},"readings":[{readings}]}}'.encode()


def honest_refusal(record: Rejected) -> Refusal:
    """What a record of an honest gateway says; a summary becomes a refusal that nothing expects."""
    reading = (record.get("message") or {}).get("reading") or {}
    return Refusal(
        record["reason"], record["gateway"] or 0, _device_of(record), reading.get("time", 0)
    )


def _device_of(record: Rejected) -> int:
    device = (record.get("message") or {}).get("device") or {}
    found = device.get("id")
    return found if isinstance(found, int) else 0
