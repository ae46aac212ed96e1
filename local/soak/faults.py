"""What is done to the stack: one function per way, each of which returns when the fault is over.

From then on nobody helps: what died is started again by `up`, or by Storm.
"""

import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from local.services.kafka import Kafka
from local.soak.hostile import HostileGateway
from local.soak.installation import Installation, send
from local.soak.traffic import Traffic
from local.supervision import stack_of
from qold.clock import Clock
from qold.ports import Point, ReadingStore, Unavailable

STOPPED_S = (5, 30)
AWAY_S = 300
APART_S = 20
POINTS = 3000
PATIENCE_S = 120.0


@dataclass(slots=True)
class Scene:
    """What a fault works on; whatever is drawn comes from `rng`."""

    installation: Installation
    traffic: Traffic
    reading_store: ReadingStore
    rng: random.Random
    clock: Clock
    _hostile: HostileGateway | None = None

    @property
    def hostile(self) -> HostileGateway:
        """The gateway that attacks, registered at its first attack."""
        if self._hostile is None:
            settings = self.installation.settings
            attack = self.traffic.attacked(settings)
            self._hostile = HostileGateway(settings, attack, self.rng)
        return self._hostile

    def find(self, what: str, look: Callable[[], int]) -> int:
        """A process that is there, waited for if it was just started again."""
        found: list[int] = []

        def is_there() -> bool:
            found[:] = [look()]
            return found[0] > 0

        if not self.installation.wait(PATIENCE_S, until=is_there):
            raise LookupError(f"there is no {what}")
        return found[0]


Strike = Callable[[Scene], str]
"""Does it; returns the details worth telling."""
Look = Callable[[Scene], tuple[str, int]]
"""Name and process of what is struck now; process 0 when there is none."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that happens."""

    name: str
    meaning: str
    strike: Strike
    brokers: int = 1
    is_long: bool = False
    is_attack: bool = False
    """By a gateway of its own, with figures that have bounds."""


def server(name: str) -> Look:
    """A program that `up` keeps."""
    return lambda scene: (name, scene.installation.pids().get(name, 0))


def daemon(scene: Scene) -> tuple[str, int]:
    return "supervisor", scene.installation.daemon()


def component(kind: str) -> Look:
    """One of the Python processes of a kind, drawn."""
    return lambda scene: _drawn(scene, scene.installation.components(kind))


def worker(scene: Scene) -> tuple[str, int]:
    """One of Storm's workers, drawn."""
    return _drawn(scene, scene.installation.workers())


def kill(look: Look, scene: Scene) -> str:
    """kill -9."""
    name, pid = _look(scene, look)
    send(pid, signal.SIGKILL)
    return name


def stop(look: Look, scene: Scene) -> str:
    """Hung, not dead: SIGSTOP, and SIGCONT after a while."""
    name, pid = _look(scene, look)
    stopped_s = scene.rng.randint(*STOPPED_S)
    send(pid, signal.SIGSTOP)
    try:
        scene.installation.wait(stopped_s)
    finally:
        send(pid, signal.SIGCONT)
    return f"{name}, {stopped_s} s"


def kill_kairosdb(scene: Scene) -> str:
    """Right after it said 204 to points that are new."""
    device_id = scene.traffic.devices[scene.rng.randrange(len(scene.traffic.devices))].id
    # Long ago, where the stream has nothing.
    first_s = 1_500_000_000 + scene.rng.randrange(10_000_000)
    points = [Point(device_id, (first_s + n) * 1000, n / 100) for n in range(POINTS)]
    _, pid = _look(scene, server("kairosdb"))
    while True:
        try:
            refused = scene.reading_store.write("Temperature", points)
            break
        except Unavailable:
            scene.installation.wait(1.0)
    send(pid, signal.SIGKILL)
    if refused:
        raise AssertionError(f"points refused: {refused[0]}")
    scene.traffic.expect(points)
    return f"after a 204 for {POINTS} points"


def empty_redis(scene: Scene) -> str:
    """kill -9, and what it had written is gone."""
    _, pid = _look(scene, server("redis"))
    folder = scene.installation.state / "services" / "redis"
    send(pid, signal.SIGKILL)
    shutil.rmtree(folder / "appendonlydir", ignore_errors=True)
    (folder / "dump.rdb").unlink(missing_ok=True)
    return "append-only file and dump removed"


def keep_away(name: str, scene: Scene) -> str:
    """kill -9, and again whenever it comes back, for minutes."""
    _keep_down(scene, {name: time.monotonic() + AWAY_S})
    return f"{name}, {AWAY_S} s"


def kill_everything(scene: Scene) -> str:
    """All at once with every worker, and back in an order that is drawn."""
    names = sorted(scene.installation.pids())
    scene.rng.shuffle(names)
    for _, pid in scene.installation.workers():
        send(pid, signal.SIGKILL)
    now = time.monotonic()
    _keep_down(scene, {name: now + 2 * number for number, name in enumerate(names)})
    return "back in the order " + ", ".join(names)


def kill_brokers(scene: Scene) -> str:
    """One after the other, each when the one before is back, then all of them."""
    found = stack_of(scene.installation.settings).servers
    brokers = [each for each in found if isinstance(each, Kafka)]
    names = [broker.name for broker in brokers]
    scene.rng.shuffle(names)
    for name in names:
        send(_look(scene, server(name))[1], signal.SIGKILL)
        scene.installation.wait(APART_S)
        if not scene.installation.wait(PATIENCE_S, until=brokers[-1].is_ready):
            raise LookupError(f"{name} does not come back")
    for name in names:
        send(_look(scene, server(name))[1], signal.SIGKILL)
    return f"{', '.join(names)}, then all"


def poison(scene: Scene) -> str:
    """Records that no honest client sends, of every kind."""
    return scene.hostile.poison()


def flood(scene: Scene) -> str:
    """Reports that are refused, as fast as the broker takes them."""
    return scene.hostile.flood(lambda: scene.clock.wall_ms() // 1000)


def _look(scene: Scene, look: Look) -> tuple[str, int]:
    name = ""

    def pid() -> int:
        nonlocal name
        name, found = look(scene)
        return found

    found = scene.find("process to strike", pid)
    return name, found


def _drawn(scene: Scene, found: list[tuple[str, int]]) -> tuple[str, int]:
    return scene.rng.choice(found) if found else ("", 0)


def _keep_down(scene: Scene, until: Mapping[str, float]) -> None:
    """Kill these programs until their moments, however often `up` starts them again."""

    def is_over() -> bool:
        now = time.monotonic()
        pids = scene.installation.pids()
        for name, moment in until.items():
            if name in pids and (now < moment or name not in struck):
                struck.add(name)
                send(pids[name], signal.SIGKILL)
        return now >= max(until.values())

    struck: set[str] = set()
    scene.installation.wait(max(until.values()) - time.monotonic() + 1, until=is_over)


_TARGETS: Mapping[str, tuple[str, Look]] = {
    "kafka": ("the broker", server("kafka")),
    "cassandra": ("Cassandra", server("cassandra")),
    "kairosdb": ("KairosDB", server("kairosdb")),
    "redis": ("Redis", server("redis")),
    "nginx": ("nginx", server("nginx")),
    "bolt": ("a Python bolt", component("bolts")),
    "spout": ("a Python spout", component("spouts")),
    "worker": ("a Storm worker", worker),
    "supervisor": ("Storm's Supervisor", daemon),
    "nimbus": ("Nimbus", server("nimbus")),
    "zookeeper": ("ZooKeeper", server("zookeeper")),
}
_KILLS = [
    Fault(f"{name}-kill", f"{what} is killed", partial(kill, look))
    for name, (what, look) in _TARGETS.items()
    if name != "kairosdb"
]
_STOPS = [
    Fault(f"{name}-stop", f"{what} hangs for a while", partial(stop, look))
    for name, (what, look) in _TARGETS.items()
]
_OTHERS = [
    Fault("kairosdb-kill", "KairosDB is killed right after a 204", kill_kairosdb),
    Fault("redis-empty", "Redis is killed and comes back empty", empty_redis),
    Fault("everything", "everything is killed, back in a random order", kill_everything),
    Fault("brokers", "three brokers are killed one by one, then all", kill_brokers, brokers=3),
    Fault(
        "cassandra-away",
        "Cassandra is away for five minutes",
        partial(keep_away, "cassandra"),
        is_long=True,
    ),
    Fault("poison", "a gateway sends what no reader can use", poison, is_attack=True),
    Fault("flood", "a gateway sends what is refused, as fast as it can", flood, is_attack=True),
]
FAULTS = {fault.name: fault for fault in sorted([*_KILLS, *_STOPS, *_OTHERS], key=lambda f: f.name)}
ONE_BROKER = ("kafka-kill", "kafka-stop")
"""Where the broker is the only one."""


def usual(brokers: int, minutes: float) -> list[str]:
    """The faults of a stack of so many brokers, in a soak of so many minutes."""
    return [
        name
        for name, fault in FAULTS.items()
        if (fault.brokers == brokers or (fault.brokers == 1 and name not in ONE_BROKER))
        and (minutes >= 60 or not fault.is_long)
    ]
