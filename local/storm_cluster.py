"""A Storm cluster as its Nimbus tells it, over the thrift interface that streamparse brings along."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from streamparse.thrift import KillOptions, Nimbus, NotAliveException, RebalanceOptions
from thriftpy2.protocol import TBinaryProtocolFactory
from thriftpy2.rpc import make_client
from thriftpy2.thrift import TException
from thriftpy2.transport import TFramedTransportFactory

TIMEOUT_MS = 10_000
ALL_TIME = ":all-time"


class ClusterAway(Exception):
    """Nimbus does not answer; the text says where it was looked for and why not."""


class NoSuchTopology(LookupError):
    """The cluster runs no topology of this name."""


@dataclass(slots=True)
class Component:
    """Since the topology's start. A spout's acked and failed are whole trees, its latency theirs."""

    name: str
    kind: str
    executors: int
    tasks: int
    emitted: int
    transferred: int
    acked: int
    failed: int
    latency_ms: float
    executed: int = 0
    execute_latency_ms: float = 0.0
    capacity: float = 0.0
    last_error: str = ""


@dataclass(slots=True)
class RunningTopology:
    """A topology of the cluster; `components` are spouts, then bolts, by name.

    `ports` are those of its workers, on any machine.
    """

    id: str
    name: str
    status: str
    uptime_s: int
    workers: int
    executors: int
    tasks: int
    components: list[Component] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RunningSupervisor:
    """One machine that runs workers."""

    id: str
    host: str
    uptime_s: int
    slots: int
    used_slots: int


class StormCluster:
    """Every method asks anew and raises `ClusterAway`."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    def has_leader(self) -> bool:
        """Whether Nimbus takes topologies."""
        with self._nimbus() as nimbus:
            return any(found.isLeader for found in nimbus.getClusterInfo().nimbuses)

    def nimbus_uptime_s(self) -> int:
        with self._nimbus() as nimbus:
            return max((found.uptime_secs for found in nimbus.getClusterInfo().nimbuses), default=0)

    def supervisors(self) -> list[RunningSupervisor]:
        with self._nimbus() as nimbus:
            return [
                RunningSupervisor(
                    found.supervisor_id,
                    found.host,
                    found.uptime_secs,
                    found.num_workers,
                    found.num_used_workers,
                )
                for found in nimbus.getClusterInfo().supervisors
            ]

    def topologies(self) -> list[RunningTopology]:
        """By name, without their components."""
        with self._nimbus() as nimbus:
            found = nimbus.getClusterInfo().topologies
        return sorted((_topology(summary) for summary in found), key=lambda t: t.name)

    def topology(self, name: str) -> RunningTopology:
        """With its components and ports; raises `NoSuchTopology`."""
        with self._nimbus() as nimbus:
            for summary in nimbus.getClusterInfo().topologies:
                if summary.name == name:
                    page = nimbus.getTopologyPageInfo(summary.id, ALL_TIME, False)
                    found = _topology(summary)
                    found.components = [*_components(page)]
                    found.ports = [worker.port for worker in page.workers or ()]
                    return found
        raise NoSuchTopology(name)

    def kill(self, name: str) -> None:
        """End a topology at once; raises `NoSuchTopology`."""
        with self._nimbus() as nimbus:
            try:
                nimbus.killTopologyWithOpts(name=name, options=KillOptions(wait_secs=0))
            except NotAliveException:
                raise NoSuchTopology(name) from None

    def rebalance(self, name: str, *, workers: int) -> None:
        """Spread a topology over so many workers, beginning now; raises `NoSuchTopology`."""
        with self._nimbus() as nimbus:
            try:
                how = RebalanceOptions(wait_secs=0, num_workers=workers)
                nimbus.rebalance(name=name, options=how)
            except NotAliveException:
                raise NoSuchTopology(name) from None

    def hosts_of(self, name: str) -> set[str]:
        """The Supervisors that run a topology's workers now; raises `NoSuchTopology`."""
        with self._nimbus() as nimbus:
            return {
                worker.supervisor_id
                for topology in nimbus.getClusterInfo().topologies
                if topology.name == name
                for worker in nimbus.getTopologyPageInfo(topology.id, ALL_TIME, False).workers or ()
            }

    @contextmanager
    def _nimbus(self) -> Iterator[Any]:
        client = None
        try:
            client = make_client(
                Nimbus,
                host=self._host,
                port=self._port,
                proto_factory=TBinaryProtocolFactory(),  # type: ignore[no-untyped-call]  # thriftpy2's
                trans_factory=TFramedTransportFactory(),
                timeout=TIMEOUT_MS,
            )
            yield client
        except (OSError, TException, EOFError) as exc:
            raise ClusterAway(f"Nimbus at {self._host}:{self._port}: {exc!r}") from exc
        finally:
            if client is not None:
                client.close()


def _topology(summary: Any) -> RunningTopology:
    return RunningTopology(
        summary.id,
        summary.name,
        summary.status,
        summary.uptime_secs,
        summary.num_workers,
        summary.num_executors,
        summary.num_tasks,
    )


def _components(page: Any) -> Iterator[Component]:
    kinds = (("spout", page.id_to_spout_agg_stats), ("bolt", page.id_to_bolt_agg_stats))
    for kind, found in kinds:
        for name, stats in sorted((found or {}).items()):
            common, specific = stats.common_stats, stats.specific_stats
            bolt, spout = specific.bolt, specific.spout
            latency_ms = bolt.process_latency_ms if bolt else spout.complete_latency_ms
            error = stats.last_error.error if stats.last_error else ""
            yield Component(
                name,
                kind,
                common.num_executors or 0,
                common.num_tasks or 0,
                common.emitted or 0,
                common.transferred or 0,
                common.acked or 0,
                common.failed or 0,
                round(latency_ms or 0.0, 3),
                (bolt.executed or 0) if bolt else 0,
                round((bolt.execute_latency_ms or 0.0) if bolt else 0.0, 3),
                round((bolt.capacity or 0.0) if bolt else 0.0, 3),
                error.strip().partition("\n")[0],
            )
