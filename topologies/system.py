"""events, and a look at everything -> what the staff must know (source T3.5, T3.6)."""

from streamparse import Grouping, Topology

from bolts.event_parser import EventParserBolt
from bolts.info_bolt import InfoBolt
from bolts.keen_bolt import KeenBolt
from bolts.sms_bolt import SmsBolt
from bolts.system_bolt import SystemBolt
from qold.topology_config import ORDERED, log_source
from spouts.health import HealthSpout
from spouts.log import LogSpout
from spouts.pending_alerts import PendingAlertsSpout

BY_GATEWAY = Grouping.fields("device_shard")
CONSUMERS = [
    ["authentication.reports", "reports_topic"],
    ["authentication.gateway_events", "gateway_events_topic"],
    ["raw.readings", "readings_topic"],
    ["datapoints.readings", "readings_topic"],
    ["thresholds.readings", "readings_topic"],
    ["alert.readings", "readings_topic"],
    ["legacy.readings", "readings_topic"],
]


class System(Topology):
    config = ORDERED

    events = LogSpout.spec(config=log_source("events_topic", ordered=True))
    health = HealthSpout.spec(config={"qold.health.consumers": CONSUMERS})
    parser = EventParserBolt.spec(inputs=[events])
    system_bolt = SystemBolt.spec(inputs={parser: BY_GATEWAY, health: BY_GATEWAY})
    pending_alerts = PendingAlertsSpout.spec()
    info_bolt = InfoBolt.spec(
        inputs={system_bolt: BY_GATEWAY, pending_alerts["alerts"]: BY_GATEWAY}
    )
    keen_bolt = KeenBolt.spec(inputs=[pending_alerts["analytics"]])
    sms_bolt = SmsBolt.spec(inputs=[pending_alerts["sms"]])
