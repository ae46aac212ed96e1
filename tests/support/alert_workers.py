"""A process that writes to an alert log beside others: run by its path.

It says on stdout what it was told: the ids it opened, the messages it claimed.
"""

import json
import sys

from qold import wiring
from qold.clock import SystemClock
from qold.domain.model import Alert, Delivery
from qold.ports import AlertLog
from qold.settings import Settings

NOW_MS = 1_795_456_000_000
TOPOLOGY = "thresholds"


def alert(number: int) -> Alert:
    """The alert of a number, the same in every process."""
    at_ms = NOW_MS + number
    return Alert(f"a{number:05}", "temperature.high", "device:7", at_ms, at_ms, value=9.5, limit=8)


def delivery(number: int) -> Delivery:
    """To one of a hundred phones."""
    return Delivery("sms", f"+3519{number % 100:08}", "en", f"Fridge {number}", NOW_MS)


def open_all(log: AlertLog, count: int, rivals_start: str) -> list[str]:
    """Open every alert in small batches; returns the ids that were new."""
    numbers = range(count) if rivals_start == "first" else range(count - 1, -1, -1)
    opened: list[str] = []
    for number in numbers:
        opened += log.open_once([alert(number)], topology=TOPOLOGY, now_ms=NOW_MS)
    return opened


def claim_all(log: AlertLog) -> list[str]:
    """Claim until nothing is left; returns the ids of the messages."""
    claimed: list[str] = []
    while found := log.claim(TOPOLOGY, "sms", now_ms=NOW_MS, lease_ms=10**9, limit=3):
        claimed += [message.id for message in found]
    return claimed


if __name__ == "__main__":
    state_dir, url, role, *arguments = sys.argv[1:]
    settings = Settings.load(state_dir, {"QOLD_ALERT_LOG_URL": url})
    log = wiring.alert_log(settings, SystemClock())
    log.ping()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    told = open_all(log, int(arguments[0]), arguments[1]) if role == "open" else claim_all(log)
    sys.stdout.write(json.dumps(told))
