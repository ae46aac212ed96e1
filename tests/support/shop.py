"""A shop under the alert topology: who speaks when, and what is told of it."""

import json

from local.runner import LocalTopology
from local.simulator.clock import SkewedClock
from local.topologies import load_topology
from qold import wiring
from qold.domain.model import Contact
from tests.support.pipeline import NOW_S, Site, make_record

ALERT = load_topology("alert")
MINUTE_S, QUARTER_S, HOUR_S = 60, 900, 3600
OWNER = Contact("Fridge 3", "Ana", "+351911111111", "pt")
STAFF = Contact("", "Qold", "+351922222222", "en")


class Shop(Site):
    """Gateways and devices that report every quarter of an hour, and the alert topology."""

    def __init__(self, folder, *, gateways=1, devices=3, interval_s=QUARTER_S, **settings):
        super().__init__(folder, notifier_url="file:sent.jsonl", **settings)
        self.folder = folder
        self.alert_log = wiring.alert_log(self.settings, self.clock)
        directory = wiring.contact_book(self.settings, self.clock)
        directory.put_staff(STAFF)
        self.new_gateways = [self.provisioning.create_gateway() for _ in range(gateways)]
        config = {"reportInterval": str(interval_s)}
        self.new_devices = self.provisioning.create_devices(devices, active=True, config=config)
        self.devices = [new.id for new in self.new_devices]
        for device_id in self.devices:
            directory.put(device_id, OWNER)
        self.through = {i: self.new_gateways[n % gateways].id for n, i in enumerate(self.devices)}
        self.interval_s = interval_s
        self.skewed = SkewedClock(self.clock)
        self.alert = self.start()
        self.now_s = NOW_S

    def start(self, topology_class=ALERT):
        conf = self.settings.to_storm_conf()
        self.alert = LocalTopology(topology_class, name="alert", conf=conf, clock=self.skewed)
        return self.alert

    def hear(self, device_id, *, measured_s=None, received_s=None):
        """One reading on the log, by default measured and received now."""
        received_s = self.now_s if received_s is None else received_s
        measured_s = received_s if measured_s is None else measured_s
        record = json.loads(make_record(device_id, measured_s, seq=measured_s % 65536))
        record |= {"received": received_s, "gateway": {"id": self.through[device_id]}}
        self.log.append("readings", [(str(device_id), json.dumps(record).encode())])

    def live(self, *, hours=0.0, speaking=None, is_running=True, **how):
        """Let time go by; whoever speaks does so every interval, a minute after one another."""
        speaking = self.devices if speaking is None else speaking
        until_s = self.now_s + round(hours * HOUR_S)
        while self.now_s < until_s:
            self.now_s += 15
            self.clock.advance_to(self.now_s * 1000)
            for device_id in speaking:
                if (self.now_s - NOW_S - device_id * MINUTE_S) % self.interval_s == 0:
                    self.hear(device_id, **how)
            if is_running:
                self.alert.run_until_idle()

    def told(self, *kinds):
        """Alerts in order as (kind, subject, minute since, minute fired)."""
        found = [story.alert for story in self.alert_log.alerts()]
        return sorted(
            (
                (a.kind, a.subject, minute(a.started_at_ms), minute(a.fired_at_ms))
                for a in found
                if not kinds or a.kind in kinds
            ),
            key=lambda alert: (alert[3], alert),
        )

    def sent(self):
        path = self.folder / "sent.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return [(sent["to"], sent["text"]) for sent in map(json.loads, lines)]


def minute(at_ms):
    return (at_ms // 1000 - NOW_S) / 60
