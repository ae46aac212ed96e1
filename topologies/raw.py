"""readings -> raw store (source 7.3.1)."""

from streamparse import Grouping, Topology

from bolts.cassandra_bolt import CassandraBolt
from bolts.parser import RawParserBolt
from qold.topology_config import EVERY_SECOND, UNORDERED, log_source
from spouts.log import LogSpout


class Raw(Topology):
    config = UNORDERED

    readings = LogSpout.spec(config=log_source("readings_topic"))
    parser = RawParserBolt.spec(inputs=[readings])
    cassandra_bolt = CassandraBolt.spec(
        inputs={parser: Grouping.fields("device_shard")}, config=EVERY_SECOND
    )
