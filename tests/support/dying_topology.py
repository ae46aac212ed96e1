"""The thresholds topology in a process that kills itself right after a step; run by its path.

Arguments: state folder, when the test began (monotonic ms), a step and at which of its occurrences to die.
Steps are methods of stores and providers, `emit` of the Battery bolt, `ack` and `commit` of the log
spout; `none` runs until everything is told and ends well. A minute of its clock lasts a second.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from bolts.battery_threshold_bolt import BatteryThresholdBolt
from local.runner import LocalTopology
from local.topologies import lag, load_topology
from qold import wiring
from qold.clock import SystemClock
from qold.ports import StateChange
from qold.settings import Settings
from spouts.log import LogSpout

NOW_MS = 1_795_456_000_000
TIMES_AS_FAST = 60
RECENTLY_MS = 3_000_000
STEPS = {
    "alert_log": ("put_excursions", "open_once", "plan", "claim", "settle", "retry"),
    "state_store": ("save",),
    "notifier": ("send",),
    "analytics": ("record",),
}


class FastClock:
    """Goes on across processes: all of them count from the moment the test began."""

    def __init__(self, began_ms: int) -> None:
        self._system, self._began_ms = SystemClock(), began_ms

    def wall_ms(self) -> int:
        return NOW_MS + self.monotonic_ms()

    def monotonic_ms(self) -> int:
        return TIMES_AS_FAST * (self._system.monotonic_ms() - self._began_ms)


class Death:
    """After the given occurrence of a step that had to do with an alert."""

    def __init__(self, step: str, occurrence: int) -> None:
        self._step, self._left = step, occurrence

    def after(self, step: str, is_of_alert: object = True) -> None:
        if step == self._step and is_of_alert:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Watched:
    """A store or provider whose steps are told to `death`."""

    def __init__(self, port: Any, steps: tuple[str, ...], death: Death) -> None:
        self._port, self._steps, self._death = port, steps, death

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name not in self._steps:
            return method

        def watched(*arguments: Any, **more: Any) -> Any:
            result = method(*arguments, **more)
            is_of_alert = result if name == "claim" else name != "save" or has_fired(*arguments)
            self._death.after(name, is_of_alert)
            return result

        return watched


def has_fired(changes: Sequence[StateChange]) -> bool:
    """Whether one of the states is that of a device with an alert among its last readings."""
    metrics = [m for change in changes for m in json.loads(change.value).values() if m]
    return any(
        metric["excursions"]["newest"][0] - at_ms < RECENTLY_MS
        for metric in metrics
        for times in metric["fired_at_ms"].values()
        for at_ms in times
    )


def watch(death: Death) -> None:
    """Put `death` behind every step."""

    def connecting(connect: Callable[..., Any], steps: tuple[str, ...]) -> Callable[..., Any]:
        return lambda settings, clock: Watched(connect(settings, clock), steps, death)

    for name, steps in STEPS.items():
        setattr(wiring, name, connecting(getattr(wiring, name), steps))

    def following(method: Callable[..., Any], step: str) -> Callable[..., Any]:
        def followed(*arguments: Any, **more: Any) -> Any:
            result = method(*arguments, **more)
            death.after(step)
            return result

        return followed

    BatteryThresholdBolt.emit = following(BatteryThresholdBolt.emit, "emit")  # type: ignore[method-assign]  # on purpose
    LogSpout.ack = following(LogSpout.ack, "ack")  # type: ignore[method-assign]  # on purpose
    LogSpout._commit = following(LogSpout._commit, "commit")  # type: ignore[method-assign]  # on purpose


def is_told(settings: Settings, clock: FastClock) -> bool:
    """True when every alert has a plan and nothing waits or is being sent."""
    alert_log = wiring.alert_log(settings, clock)
    stories = alert_log.alerts()
    lost = alert_log.unplanned("thresholds", before_ms=2**60, limit=1)
    alert_log.close()
    waiting = [
        d for story in stories for d in story.deliveries if d.status in ("waiting", "sending")
    ]
    return bool(stories) and not waiting and not lost


if __name__ == "__main__":
    state, began_ms, step, occurrence = sys.argv[1:]
    settings = Settings.load(state, {})
    clock = FastClock(int(began_ms))
    watch(Death(step, int(occurrence)))
    topology = LocalTopology(
        load_topology("thresholds"), name="thresholds", conf=settings.to_storm_conf(), clock=clock
    )
    message_log = wiring.message_log(settings, clock)
    while lag(message_log, settings, "thresholds") or not is_told(settings, clock):
        for _ in range(20):
            if not topology.step():
                time.sleep(0.002)
    topology.stop()
