"""readings -> who is silent and who is back -> alerts (source 7.3.5)."""

from streamparse import Grouping, Topology

from bolts.info_bolt import InfoBolt
from bolts.keen_bolt import KeenBolt
from bolts.parser import ParserBolt
from bolts.sms_bolt import SmsBolt
from bolts.time_bolt import TimeBolt
from qold.topology_config import ORDERED, log_source
from spouts.loader import LoaderSpout
from spouts.log import LogSpout
from spouts.pending_alerts import PendingAlertsSpout

BY_DEVICE = Grouping.fields("device_shard")
AWAITS = [
    ["{prefix}authentication.reports", "reports_topic"],
    ["{topology}.readings", "readings_topic"],
]


class Alert(Topology):
    config = ORDERED

    readings = LogSpout.spec(config=log_source("readings_topic", ordered=True))
    parser = ParserBolt.spec(inputs=[readings])
    loader = LoaderSpout.spec(config={"qold.loader.awaits": AWAITS})
    time_bolt = TimeBolt.spec(inputs={parser: BY_DEVICE, loader: BY_DEVICE})
    pending_alerts = PendingAlertsSpout.spec()
    info_bolt = InfoBolt.spec(inputs={time_bolt: BY_DEVICE, pending_alerts["alerts"]: BY_DEVICE})
    keen_bolt = KeenBolt.spec(inputs=[pending_alerts["analytics"]])
    sms_bolt = SmsBolt.spec(inputs=[pending_alerts["sms"]])
