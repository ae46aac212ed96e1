"""readings -> limits -> excursions and alerts -> people (source 7.3.4)."""

from streamparse import Grouping, Topology

from bolts.battery_threshold_bolt import BatteryThresholdBolt
from bolts.config_bolt import ConfigBolt
from bolts.info_bolt import InfoBolt
from bolts.keen_bolt import KeenBolt
from bolts.parser import ParserBolt
from bolts.sms_bolt import SmsBolt
from bolts.temperature_threshold_bolt import TemperatureThresholdBolt
from qold.topology_config import ORDERED, log_source
from spouts.log import LogSpout
from spouts.pending_alerts import PendingAlertsSpout

BY_DEVICE = Grouping.fields("device_shard")


class Thresholds(Topology):
    config = ORDERED

    readings = LogSpout.spec(config=log_source("readings_topic", ordered=True))
    config_changes = LogSpout.spec(config=log_source("config_topic", start="latest"))
    pending_alerts = PendingAlertsSpout.spec()
    parser = ParserBolt.spec(inputs=[readings])
    config_bolt = ConfigBolt.spec(inputs={parser: BY_DEVICE, config_changes: Grouping.ALL})
    temperature_bolt = TemperatureThresholdBolt.spec(inputs={config_bolt: BY_DEVICE})
    battery_bolt = BatteryThresholdBolt.spec(inputs={temperature_bolt: BY_DEVICE})
    info_bolt = InfoBolt.spec(inputs={battery_bolt: BY_DEVICE, pending_alerts["alerts"]: BY_DEVICE})
    sms_bolt = SmsBolt.spec(inputs=[pending_alerts["sms"]])
    keen_bolt = KeenBolt.spec(inputs=[pending_alerts["analytics"]])
