"""Info bolt: who a device belongs to, and so who hears its alerts (source 7.3.4)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from qold import wiring
from qold.component import QoldBolt
from qold.domain.model import Alert, Contact, Delivery
from qold.domain.routing import deliveries
from qold.domain.silence import GatewayWatch
from qold.ports import AlertLog, Directory, StateStore, Unavailable
from qold.rows import unpacker
from qold.watches import Watches

KEPT_MS = 600_000
AWAY_MS = 30_000
MAX_CONTACTS = 50_000

_alerts = unpacker(Alert)


class InfoBolt(QoldBolt):
    """Plans every delivery of an alert; a directory that is away means the staff, not nobody.

    Where it has never said who the staff is, that is the setting `fallback_phone`; without one the
    alerts stay unplanned, and `pending_alerts` brings them again.
    """

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.directory: Directory | None = None
        self.alert_log: AlertLog | None = None
        self.contacts: dict[int, tuple[int, Contact | None]] = {}
        self.states: StateStore | None = None
        phone = self.settings.fallback_phone
        self.staff: Contact | None = Contact(phone=phone) if phone else None
        self.is_staff_known = self.staff is not None
        self.staff_until_ms = 0
        self.away_until_ms = 0

    def handle(self, tup: Any) -> None:
        alerts = _alerts(tup.values.alerts)
        devices = self._devices(alerts)
        self._look_up(set(devices.values()) - {0})
        if not self.is_staff_known:
            self.counters["unplanned"] += len(alerts)
            return
        plans = {alert.id: self._plan(alert, devices[alert.id]) for alert in alerts}
        if self.alert_log is None:
            self.alert_log = wiring.alert_log(self.settings, self.clock)
        self.alert_log.plan(plans, now_ms=self.clock.wall_ms())
        self.counters["planned"] += len(plans)

    def _plan(self, alert: Alert, device_id: int) -> list[Delivery]:
        _, contact = self.contacts.get(device_id, (0, None))
        planned = deliveries(
            alert, contact, self.staff, now_ms=self.clock.wall_ms(), zone=self.settings.zone
        )
        if not any(delivery.channel == "sms" for delivery in planned):
            self.counters["told_nobody"] += 1
            self.logger.error("alert=%s about %s: nobody to tell", alert.id, alert.subject)
        return planned

    def _devices(self, alerts: Sequence[Alert]) -> dict[str, int]:
        """Per alert the device whose people hear of it: its own, or one of its gateway's, else 0."""
        subjects = {alert.id: alert.subject.partition(":") for alert in alerts}
        gateways = {int(number) for what, _, number in subjects.values() if what == "gateway"}
        of_gateway: Mapping[int, GatewayWatch] = {}
        if gateways:
            try:
                if self.states is None:
                    self.states = wiring.state_store(self.settings, self.clock)
                now_ms = self.clock.wall_ms()
                of_gateway = Watches(self.states, (), gateways, now_ms=now_ms).gateways
            except Unavailable as away:
                self.counters["states_away"] += 1
                self.logger.warning("only the staff hears of a gateway: %s", away)
        devices = dict.fromkeys(subjects, 0)
        for alert_id, (what, _, number) in subjects.items():
            if what == "device":
                devices[alert_id] = int(number)
            elif what == "gateway" and int(number) in of_gateway:
                devices[alert_id] = of_gateway[int(number)].device_id
        return devices

    def _look_up(self, device_ids: Collection[int]) -> None:
        now_ms = self.clock.monotonic_ms()
        if now_ms < self.away_until_ms:
            return
        missing = [i for i in device_ids if self.contacts.get(i, (0, None))[0] <= now_ms]
        try:
            if self.directory is None:
                self.directory = wiring.directory(self.settings, self.clock)
            if self.staff_until_ms <= now_ms:
                self.staff = self.directory.staff() or self.staff
                self.is_staff_known = True
                self.staff_until_ms = now_ms + KEPT_MS
            if missing:
                found = self.directory.look_up(missing)
                self.contacts.update((i, (now_ms + KEPT_MS, found.get(i))) for i in missing)
        except Unavailable as away:
            # What was known before still holds; the alert must not wait for the rest.
            self.away_until_ms = self.clock.monotonic_ms() + AWAY_MS
            self.counters["directory_away"] += 1
            self.logger.warning("directory away: %s", away)
        while len(self.contacts) > MAX_CONTACTS:
            del self.contacts[next(iter(self.contacts))]
