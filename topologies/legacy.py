"""readings -> the API of the system before this one (source 7.3.6)."""

from streamparse import Grouping, Topology

from bolts.legacy_bolt import LegacyBolt
from bolts.legacy_parser import LegacyParserBolt
from qold.topology_config import ONE_AT_A_TIME, WHOLE_TUPLES, log_source
from spouts.log import LogSpout


class Legacy(Topology):
    config = ONE_AT_A_TIME

    readings = LogSpout.spec(config=log_source("readings_topic", ordered=True))
    parser = LegacyParserBolt.spec(inputs=[readings], config=WHOLE_TUPLES)
    legacy_bolt = LegacyBolt.spec(
        inputs={parser: Grouping.fields("device_shard")}, config=WHOLE_TUPLES
    )
