"""The whole stack in a folder of its own, and a topology on it with topics and stores of its own."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

from local.bench.measure import Tell
from local.bench.patience import patiently
from local.embedded import prepare
from local.programs import Keeper
from local.services.place import Place
from local.services.profiles import stack, write_settings
from local.services.servers import NotReady, Server, bring_up
from local.storm_cluster import NoSuchTopology, StormCluster
from local.storm_submission import Submission
from local.supervision import prepare_patiently
from qold import wiring
from qold.clock import SystemClock
from qold.ports import Contact, Unavailable
from qold.settings import STORM_PREFIX, Settings

PATIENCE_S = 600.0
COMMIT_EVERY_MS = 200
"""Often enough to see where one run ends and the next begins; the default is a second."""

DATABASES = 16  # of Redis
_TOPICS = ("reports", "rejected", "readings", "config", "gateway_events", "events")


@dataclass(frozen=True, slots=True)
class Stage:
    """Topics and stores for one topology, or for several that work together."""

    name: str
    settings: Settings
    options: tuple[str, ...]
    """What a topology is submitted with so that it uses them."""


class Installation:
    """Servers that are up; `start` brings another one up.

    `tag` sets the names of this one's topics and keyspaces apart.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        place: Place,
        storm: StormCluster,
        submission: Submission,
        pids: Callable[[], Mapping[str, int]],
        start: Callable[[Server], None],
        tag: str = "bench",
    ) -> None:
        self.settings = settings
        self.place, self.storm, self.submission = place, storm, submission
        self.pids, self.start = pids, start
        self._tag = tag
        self._stages = 0
        self.points = 0
        """Readings that topologies have put into KairosDB, which all stages share."""

    def stage(self, name: str, *stores: str, **changed: str | int) -> Stage:
        """Fresh topics and a fresh database of Redis; `changed` are settings laid over that.

        `stores` are the settings of stores in Cassandra that get a fresh keyspace as well.
        """
        self._stages += 1
        own = f"{self._tag}-{name}"
        keyspace = own.replace("-", "_")
        base = self.settings
        database = 1 + self._stages % (DATABASES - 1)
        values: dict[str, str | int] = {
            **{f"{topic}_topic": f"{own}.{topic.replace('_', '.')}" for topic in _TOPICS},
            **{url: _path(getattr(base, url), f"{keyspace}_{url[:2]}") for url in stores},
            **{
                url: _path(getattr(base, url), str(database))
                for url in ("state_url", "last_seen_url")
            },
            "topology_prefix": f"{own}-",
            "commit_interval_ms": COMMIT_EVERY_MS,
            **changed,
        }
        settings = replace(base, **values)  # type: ignore[arg-type]  # by name, checked by tests
        patiently(partial(prepare, settings))
        options = [
            f"{STORM_PREFIX}{field.name}={json.dumps(value)}"
            for field in fields(settings)
            if (value := getattr(settings, field.name)) != getattr(base, field.name)
        ]
        return Stage(own, settings, tuple(word for option in options for word in ("-o", option)))

    def stage_with_people(self, name: str, *stores: str, **changed: str | int) -> Stage:
        """The same, with somebody to tell, and a file that takes what they are told."""
        stage = self.stage(
            name,
            *stores,
            notifier_url=f"file:{name}.jsonl",
            directory_url=f"sqlite:{name}.db",
            **changed,
        )
        book = wiring.contact_book(stage.settings, SystemClock())
        book.put_staff(Contact(phone="+351911111111"))
        book.close()
        return stage

    def submit(self, topology: str, stage: Stage, *options: str) -> str:
        """Start a topology on a stage; returns the name under which it runs."""
        running = stage.settings.topology_prefix + topology
        words = [word for option in options for word in ("-o", option)]
        self.submission.submit(topology, "-N", running, *stage.options, *words)
        return running

    def kill(self, running: str) -> None:
        """End a topology, and wait until its workers have gone."""
        with suppress(NoSuchTopology):
            self.storm.kill(running)
        give_up_at = time.monotonic() + PATIENCE_S
        while any(found.name == running for found in self.storm.topologies()):
            if time.monotonic() > give_up_at:
                raise NotReady(f"{running} is still there after {PATIENCE_S:.0f} s")
            time.sleep(0.2)


@contextmanager
def installation(tell: Tell) -> Iterator[Installation]:
    """Start the whole stack in a temporary folder; raises `NotReady` where a tool is missing."""
    with tempfile.TemporaryDirectory(prefix="qold-bench-") as folder:
        place = Place(folder)
        place.port("storm-ui")  # not the one that people's shells expect
        found = stack("full", place)
        for tool, package in found.missing_tools().items():
            raise NotReady(f"the full profile needs {tool}\nfix: sudo apt install {package}")
        write_settings(folder, found)
        keeper = Keeper(Path(folder) / "logs")
        try:
            for wave in found.waves:
                bring_up(*wave, keeper=keeper, tell=tell)
            settings = Settings.load(folder, {})
            prepare_patiently(settings)
            submission = Submission(place)
            tell("building the topologies' jar")
            submission.prepare()
            storm = StormCluster("127.0.0.1", place.port("nimbus"))
            yield Installation(
                settings,
                place=place,
                storm=storm,
                submission=submission,
                pids=keeper.pids,
                start=partial(bring_up, keeper=keeper, tell=tell),
            )
        finally:
            keeper.stop()


def offsets_done(settings: Settings, consumer: str, topic: str) -> Callable[[], int]:
    """How many records of a topic a consumer has committed; the last answer while there is none."""
    log = wiring.message_log(settings, SystemClock())
    seen = 0

    def done() -> int:
        nonlocal seen
        with suppress(Unavailable):
            seen = sum(log.committed(consumer, topic).values())
        return seen

    return done


def _path(url: str, path: str) -> str:
    return f"{url.rpartition('/')[0]}/{path}"
