"""Base spout and bolts: settings, clock, error policy, and five traps of multilang closed.

1. Whatever prints, also at import and in C, writes to stderr: descriptor 1 belongs to Storm.
2. An emit that cannot be serialised raises; stock pystorm logs it and acknowledges the input.
3. A failed tuple is retried for ever by the log spout; stock `ReliableSpout` gives up after three.
4. A bolt in a slow call keeps its heartbeat, for a while, so that Storm does not kill the worker.
5. Values that Kryo refuses between two workers (long floats, nesting) are refused here, at once.
"""

import gc
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

from streamparse import Bolt, Spout

from qold.clock import Clock, SystemClock, scaled_clock
from qold.dead_letters import DeadLetters
from qold.plain_logs import keep_logs_plain
from qold.plain_text import visible
from qold.ports import Rejected, Unavailable
from qold.settings import Settings
from qold.storm_values import check_values

HELD: Final = object()
"""Returned by `handle` when the tuple is acknowledged later."""

GARBAGE_THRESHOLDS = 10_000, 10, 10
HEARTBEAT_S = 5.0
SLOWEST_TUPLE_MS = 100_000

_protocol: BinaryIO | None = None


def claim_stdout() -> BinaryIO:
    """Keep Storm's pipe for the protocol and send everything else on descriptor 1 to stderr."""
    global _protocol
    if _protocol is None:
        _protocol = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
    return _protocol


def collect_garbage_rarely() -> None:
    """For a process that makes thousands of objects at once: Python would look for cycles after 700.

    Reading from Kafka is twice as fast with it (docs/adr/0027).
    """
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def _is_storm_child() -> bool:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    started_as = os.path.basename(sys.argv[0]) if sys.argv else ""
    return getattr(spec, "name", "") == "streamparse.run" or started_as == "streamparse_run"


if _is_storm_child():
    claim_stdout()
keep_logs_plain()


class _Component:
    """What spouts and bolts share; mixed in before streamparse's class."""

    clock: Clock = SystemClock()
    settings: Settings
    counters: Counter[str]

    def __init__(
        self,
        input_stream: Any = None,
        output_stream: Any = None,
        rdb_signal: Any = None,
        serializer: str = "json",
    ) -> None:
        """Streams default to Storm's pipe; pystorm's debugger on SIGUSR1 stays off (it listens)."""
        super().__init__(  # type: ignore[call-arg]  # streamparse's class is next in the order
            input_stream=sys.stdin if input_stream is None else input_stream,
            output_stream=claim_stdout() if output_stream is None else output_stream,
            rdb_signal=rdb_signal,
            serializer=serializer,
        )
        self.counters = Counter()

    def initialize(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        """Read the settings, then `setup`; adapters connect in their first call, not here."""
        self.settings = Settings.from_storm_conf(storm_conf)
        self.clock = scaled_clock(self.settings.clock_url, self.settings.state_dir) or self.clock
        self.topology = str(storm_conf.get("topology.name", ""))
        self.setup(storm_conf, context)

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        """Prepare the component; overridden where there is something to prepare."""

    def _setup_component(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        # pystorm calls this only in a process of its own.
        super()._setup_component(storm_conf, context)  # type: ignore[misc]  # streamparse's class
        collect_garbage_rarely()

    def send_message(self, message: dict[str, Any]) -> None:
        """Send to Storm; raises TypeError or ValueError for an emit that Storm would not carry.

        Control characters in what Storm logs are escaped.
        """
        if message.get("command") in ("log", "error"):
            message = {**message, "msg": visible(str(message["msg"]), keep="\n\t")}
        if message.get("command") == "emit":
            check_values(message["tuple"])
        super().send_message(message)  # type: ignore[misc]  # likewise


class QoldSpout(_Component, Spout):
    """Base of all spouts."""

    _is_alone = False

    def rest(self) -> None:
        """Called by a `next_tuple` that has nothing to do: Storm would ask again a millisecond later.

        Only in a process of its own; in the in-process runner others may have work.
        """
        if self._is_alone:
            time.sleep(self.settings.poll_wait_ms / 1000)

    def _setup_component(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        # pystorm calls this only in a process of its own.
        super()._setup_component(storm_conf, context)
        self._is_alone = True


class QoldBolt(_Component, Bolt):
    """Base of all bolts: `handle` one tuple, `tick` when time passes.

    `handle` returns None to have the tuple acknowledged, or `HELD` when it acknowledges later.
    `Rejected` makes the tuple a dead letter, `Unavailable` fails it so that the spout replays it;
    anything else is a bug: the process ends, Storm restarts it, the tuple is replayed.
    """

    auto_ack = False

    _busy_since_ms: int | None = None

    def handle(self, tup: Any) -> object | None:
        """Process one tuple of input."""
        raise NotImplementedError

    def tick(self) -> None:
        """Called about every `topology.tick.tuple.freq.secs`; raises like `handle`."""

    def dead_letters(self) -> DeadLetters:
        """Where this bolt leaves what it cannot use."""
        if self._dead_letters is None:
            self._dead_letters = DeadLetters(self.settings, self.clock, self.topology)
        return self._dead_letters

    _dead_letters: DeadLetters | None = None

    def process(self, tup: Any) -> None:
        """pystorm's entry: `handle` under the error policy."""
        self._busy_since_ms = self.clock.monotonic_ms()
        try:
            outcome = self.handle(tup)
        except Rejected as refusal:
            self.counters["dead_letters"] += 1
            self.dead_letters().put_tuple(tup, refusal)
            outcome = None
        except Unavailable as away:
            self.counters["failed_unavailable"] += 1
            self.logger.warning("tuple=%s failed: %s", tup.id, away)
            self.fail(tup)
            return
        finally:
            self._busy_since_ms = None
        if outcome is not HELD:
            self.ack(tup)

    def process_tick(self, tup: Any) -> None:
        """pystorm's entry for ticks."""
        self._busy_since_ms = self.clock.monotonic_ms()
        try:
            self.tick()
        except Unavailable as away:
            self.counters["ticks_unavailable"] += 1
            self.logger.warning("tick failed: %s", away)
        finally:
            self._busy_since_ms = None
        self.ack(tup)

    def _setup_component(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        # pystorm calls this only in a process of its own, where Storm waits for heartbeats.
        super()._setup_component(storm_conf, context)
        threading.Thread(target=self._keep_heartbeat, name="heartbeat", daemon=True).start()

    def _keep_heartbeat(self) -> None:
        never = threading.Event()
        while not never.wait(HEARTBEAT_S):
            since = self._busy_since_ms
            if since is not None and self.clock.monotonic_ms() - since < SLOWEST_TUPLE_MS:
                super().send_message({"command": "sync"})
