"""From measured costs to what a fleet needs: pure arithmetic, no IO.

Everything is rounded to the side that costs more.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

SECONDS_A_YEAR = 365 * 86_400
SECONDS_A_MONTH = SECONDS_A_YEAR / 12
EQUIPMENTS = 15
"""Devices of a client (source C.1)."""

GATEWAY_INTERVAL_S, REFRESH_S = 900, 900
"""How often a gateway has something to send, and asks who leads its partitions (its defaults)."""

CONNECTS_A_DAY = 4
"""A shop's line is lost so often."""

REPORT_S = 120
"""How often a device reports in the source's worst case (C.2)."""

PROJECTED_YEARS = 5
BUSINESSES = {"Portugal": 76_000, "Europe": 1_547_000}
"""Enterprises of the food and beverage sector (source C)."""

_COPIED = ("kafka", "cassandra")
"""Every copy costs its server as much as the first; KairosDB keeps its points in Cassandra."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a fleet sends."""

    devices: int
    interval_s: float
    years: float

    @property
    def readings_s(self) -> float:
        return self.devices / self.interval_s

    @property
    def readings(self) -> float:
        """In all the years."""
        return self.readings_s * self.years * SECONDS_A_YEAR


@dataclass(frozen=True, slots=True)
class Cost:
    """What one reading costs in a topology.

    `rate` is what one worker with one task of each component did, `cpu_us` what all processes spent
    on a reading, by where they run: `workers`, `kafka`, `cassandra`, `kairosdb`, `redis`, `nginx`.
    """

    rate: float
    cpu_us: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """How it is meant to be run. A core is planned to be busy for `busy` of its time."""

    busy: float = 0.6
    replicas: int = 3
    brokers_keep_days: float = 7.0
    free_disk: float = 0.5
    """So much of a disk stays free: compaction writes a table anew before the old one goes."""

    cores_a_machine: int = 8


@dataclass(frozen=True, slots=True)
class Crew:
    """One topology."""

    workers: int
    cores: int


@dataclass(frozen=True, slots=True)
class Need:
    """What it takes; `disk_bytes` by store, with all copies and with what must stay free."""

    readings_s: float
    partitions: int
    topologies: Mapping[str, Crew]
    cores: Mapping[str, int]
    disk_bytes: Mapping[str, int]
    machines: int


def clients_load(businesses: int, *, interval_s: float = REPORT_S, years: float) -> Load:
    """The source's model: so many clients, fifteen devices each."""
    return Load(businesses * EQUIPMENTS, interval_s, years)


def load_of_rate(readings_s: float, *, interval_s: float, years: float) -> Load:
    """A fleet that sends so many readings a second."""
    return Load(math.ceil(readings_s * interval_s), interval_s, years)


def need(
    load: Load, costs: Mapping[str, Cost], bytes_each: Mapping[str, float], plan: Plan
) -> Need:
    """What a load takes, from what a reading costs in each topology and each store.

    `bytes_each` is bytes on disk for a reading, one copy: `kafka` (both topics), `cassandra`, `kairosdb`.
    """
    crews = {name: crew(load.readings_s, cost, plan) for name, cost in costs.items()}
    spent_us: dict[str, float] = {}
    for cost in costs.values():
        for where, us in cost.cpu_us.items():
            copies = plan.replicas if where in _COPIED else 1
            spent_us[where] = spent_us.get(where, 0.0) + copies * us
    cores = {where: cores_of(load.readings_s, us, plan) for where, us in spent_us.items()}
    return Need(
        load.readings_s,
        partitions(crews),
        crews,
        cores,
        disk(load, bytes_each, plan),
        machines(cores, plan),
    )


def crew(readings_s: float, cost: Cost, plan: Plan) -> Crew:
    """Workers of one task each, none of which is busier than planned, and their cores."""
    workers = max(1, math.ceil(readings_s / (plan.busy * cost.rate)))
    return Crew(workers, cores_of(readings_s, cost.cpu_us.get("workers", 0.0), plan))


def cores_of(readings_s: float, cpu_us: float, plan: Plan) -> int:
    """Cores for so many microseconds a reading."""
    return max(1, math.ceil(readings_s * cpu_us / 1e6 / plan.busy))


def partitions(crews: Mapping[str, Crew]) -> int:
    """Every worker of the largest topology has a partition, at least four, and a power of two."""
    most = max((found.workers for found in crews.values()), default=1)
    return max(4, 1 << math.ceil(math.log2(most)))


def disk(load: Load, bytes_each: Mapping[str, float], plan: Plan) -> dict[str, int]:
    """Bytes for each store: Kafka keeps some days, the others everything."""
    kept = plan.brokers_keep_days * 86_400 * load.readings_s
    found = {}
    for store, each in bytes_each.items():
        readings = min(kept, load.readings) if store == "kafka" else load.readings
        found[store] = math.ceil(readings * each * plan.replicas / (1 - plan.free_disk))
    return found


def machines(cores: Mapping[str, int], plan: Plan) -> int:
    """At least one for each copy."""
    return max(plan.replicas, math.ceil(sum(cores.values()) / plan.cores_a_machine))


def month_bytes(
    *,
    connect: float,
    report: float,
    refresh: float,
    interval_s: float = GATEWAY_INTERVAL_S,
    connects_a_day: float = CONNECTS_A_DAY,
) -> float:
    """What a gateway's connection carries in a month, from what each thing costs."""
    days = SECONDS_A_MONTH / 86_400
    return (
        days * connects_a_day * connect
        + SECONDS_A_MONTH / interval_s * report
        + SECONDS_A_MONTH / REFRESH_S * refresh
    )


def years_until(size_bytes: float, readings_s: float, bytes_each: float) -> float:
    """How long it takes to fill so much with one copy."""
    return size_bytes / (readings_s * bytes_each * SECONDS_A_YEAR)
