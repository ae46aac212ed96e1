"""readings -> windows of temperature and battery -> reading store (source 7.3.3)."""

from streamparse import Grouping, Topology

from bolts.battery_bolt import BatteryBolt
from bolts.parser import ParserBolt
from bolts.publish_bolt import PublishBolt
from bolts.temperature_bolt import TemperatureBolt
from qold.topology_config import EVERY_SECOND, UNORDERED, log_source
from spouts.log import LogSpout

BY_DEVICE = Grouping.fields("device_shard")


class Datapoints(Topology):
    config = UNORDERED

    readings = LogSpout.spec(config=log_source("readings_topic"))
    parser = ParserBolt.spec(inputs=[readings])
    temperature_bolt = TemperatureBolt.spec(inputs={parser: BY_DEVICE}, config=EVERY_SECOND)
    battery_bolt = BatteryBolt.spec(inputs={parser: BY_DEVICE}, config=EVERY_SECOND)
    publish_bolt = PublishBolt.spec(inputs=[temperature_bolt, battery_bolt], config=EVERY_SECOND)
