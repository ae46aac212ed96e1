"""reports -> readings, gateway.events -> events, refusals -> reports.rejected (source 7.3.2)."""

from streamparse import Grouping, Topology

from bolts.device_bolt import DeviceBolt
from bolts.gateway_bolt import GatewayBolt
from bolts.gateway_event_bolt import GatewayEventBolt
from bolts.join_bolt import JoinBolt
from bolts.kafka_bolt import KafkaBolt
from bolts.report_bolt import ReportBolt
from qold.topology_config import EVERY_MINUTE, EVERY_SECOND, ORDERED, log_source
from spouts.log import LogSpout

BY_DEVICE = Grouping.fields("device_shard")
BY_GATEWAY = Grouping.fields("gateway_shard")


class Authentication(Topology):
    config = ORDERED

    reports = LogSpout.spec(config=log_source("reports_topic", ordered=True))
    config_changes = LogSpout.spec(config=log_source("config_topic", start="latest"))
    gateway_events = LogSpout.spec(config=log_source("gateway_events_topic", ordered=True))
    report_bolt = ReportBolt.spec(inputs=[reports])
    device_bolt = DeviceBolt.spec(
        inputs={report_bolt["devices"]: BY_DEVICE, config_changes: Grouping.ALL}
    )
    gateway_bolt = GatewayBolt.spec(
        inputs={report_bolt["gateways"]: BY_DEVICE, config_changes: Grouping.ALL}
    )
    join_bolt = JoinBolt.spec(
        inputs={device_bolt: BY_DEVICE, gateway_bolt: BY_DEVICE}, config=EVERY_SECOND
    )
    gateway_event_bolt = GatewayEventBolt.spec(
        inputs={gateway_events: Grouping.SHUFFLE, config_changes: Grouping.ALL}
    )
    kafka_bolt = KafkaBolt.spec(
        inputs={
            join_bolt["readings"]: BY_DEVICE,
            join_bolt["rejected"]: BY_GATEWAY,
            report_bolt["rejected"]: BY_GATEWAY,
            gateway_event_bolt["events"]: BY_DEVICE,
            gateway_event_bolt["rejected"]: BY_GATEWAY,
        },
        config=EVERY_MINUTE,
    )
