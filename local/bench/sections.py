"""The sections of docs/benchmarks.md: what each is called, and what its figures mean."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """`{runs}` in the notes is the number of runs."""

    title: str
    notes: str


_SOURCE = "- `source` is the figure of the thesis that Qold follows, on its author's machines (appendix E).\n"

SECTIONS = {
    "embedded": Section(
        "On one machine, without servers",
        """\
- `backlog` is 1 000 devices with 100 consecutive readings each, as gateways send them after an outage; `steady` is
  70 000 devices with one reading each.
- Everything is durable, as in service: SQLite commits with `synchronous=FULL`. A topology runs in one process with one
  task of each component, and is measured from its start to its last committed offset; waits for a window to close are
  skipped.
- After a warm-up come {runs} runs, each in a fresh folder; `median` and `best` are theirs, and the target is compared
  with the median. `CPU µs each` is processor time, which other programs on the machine disturb least.
- A rate counts only with a clean ledger: after every run each reading that was put in is there once, value by value,
  and nothing else is. Otherwise the ledger's findings stand in place of figures, and the exit code is 4.
"""
        + _SOURCE,
    ),
    "full": Section(
        "On Storm, Kafka, Cassandra, KairosDB and Redis",
        """\
- All of the servers, the topology and the bench share this one machine, with TLS and client certificates everywhere.
  One topology runs at a time, with one task of each component, in one worker.
- The topic is filled first, with {runs} + 2 parts of the workload: 1 000 devices with 100 more readings each
  (`backlog`), or 70 000 devices with one more (`steady`). Then the topology is submitted. While it consumes the first
  part, processes start, code is compiled and caches fill: that is the warm-up. Each of the next {runs} parts is a run,
  from the moment the last record of the part before is committed to the moment its own last one is, in proportion
  between two looks (four a second; offsets are committed five times a second, a second is the default). The last part
  is there so that no run is measured while the topology has nothing to do.
- What is committed is durable: acknowledged by Kafka, written to Cassandra's and Redis's logs, or in KairosDB's queue
  on disk.
- `log` is one process and its client: calls of 20 000 records in, and out as a log spout reads them.
- `disk` is bytes for a reading, one copy, when everything is flushed: `kafka` its place in a report and its record on
  `readings`, `cassandra` its row in the raw store, `kairosdb` its two points, which lie in Cassandra too.
- `uplink` is what the kernel counts on a gateway's connection to Kafka, both ways, TLS and the headers of IP and TCP
  included; the month has four connections a day.
- `latency` is an open loop: a report is sent when it is due, and the time counts from then until a reading of it can be
  read from Cassandra, or from KairosDB behind its window of 3 s; five a second are looked for.
- `kairosdb` is the store by itself, as the topology calls it: windows of 5 000 readings until their last points can be
  read, and 1 000 points of one device, with 70 000 others beside it, 300 queries a run.
- `CPU µs each` is the processor time of all these processes together for each reading; of `log` and `kairosdb` that of
  the bench alone.
- Where a target is missed, both cores are busy. At 30 000 a second a reading may cost 67 µs of them, at 70 000 it may
  cost 29; the table above has who takes how much. Half of `raw` and `datapoints` is Cassandra's, and two thirds where
  each reading is alone in its partition; with Cassandra on another machine, which is the next step, what is left would
  carry about twice the rate. `until they can be read` is the same, and waits for KairosDB's queue. `thresholds` reads
  and writes a state for each device and metric in Redis, and what is new in Cassandra, while of each partition one
  tuple is in flight: the next step is one state for both metrics, then more partitions and cores.
- A rate counts only with a clean ledger over all parts: each reading that was put in is there once, value by value,
  and nothing else is; of 70 000 devices every row is counted in Cassandra, and the values of 1 000 are compared.
  Otherwise the ledger's findings stand in place of figures, and the exit code is 4.
"""
        + _SOURCE,
    ),
    "source": Section(
        "By the method of the thesis that Qold follows",
        """\
- As in its appendix E: seven producers at once with 100 000 messages each, whose rates are added, and one consumer of
  them all; topics that are filled before a topology starts, and the time each bolt takes for a message; 30 queries of
  1 000 points, their mean and standard deviation.
- The rates of the topologies by this method are those above: the source too let a topology run into a filled topic.
- The source clocked its bolts. Here a bolt is a process that takes many readings at once, and its time is the processor
  time of that process, divided by the readings; while it waits for a store it takes none (what Nimbus calls the execute
  latency of a Python bolt is the time in which a worker puts a tuple into its queue). The source had seven machines;
  here all is on one. `vs source` of a time is better when it is small.
"""
        + _SOURCE,
    ),
    "all-at-once": Section(
        "All topologies at once",
        """\
- Every topology runs on this one machine, in a worker of its own, and readings of 70 000 devices come steadily, fifteen
  in a report, when they are due, however far behind the topologies are. The old API is not posted to, as it is by
  default. The rate counts from the first report to the last committed offset of the slowest topology.
- `furthest behind` is the largest lag that a look every 10 s found, in seconds of that rate. A lag that grows, readings
  that are refused, rows that are missing in Cassandra, or points in KairosDB, take the place of figures.
- Wanted are 5 000/s for ten minutes, which is more than two cores carry: at 1 500/s they are full. At 5 000/s the lag of
  the one furthest behind grew by 4 200 a second: raw's writes to Cassandra timed out and were made again, and
  datapoints held back because KairosDB was a minute behind its queue. The next step is Cassandra and KairosDB on
  machines of their own.
""",
    ),
    "scale-out": Section(
        "Scaling out under load",
        """\
- The topology raw runs in one worker of one Supervisor. While readings come steadily, a second Supervisor is started,
  which is what another machine would be, and the topology is rebalanced to two workers. The time ends when workers of
  both Supervisors have been placed and an offset is committed again. Before and after, each time the middle
  one of three parts of a filled topic is measured.
- Both Supervisors share this one machine: the rate has little room to rise, it shows what a second worker costs. The
  ledger has every reading in Cassandra once, also those that came meanwhile.
""",
    ),
}
