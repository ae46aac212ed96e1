"""Battery bolt of the thresholds topology: judges batteries, then makes all of it durable (7.3.4)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from qold import wiring
from qold.component import QoldBolt
from qold.device_states import encode_state, load_states, state_key
from qold.domain.limits import Limits
from qold.domain.model import Alert
from qold.ports import StateChange, StateStore, Unavailable
from qold.rows import LimitsRow, ReadingRow, Verdict, by_device, pack, unpacker
from qold.threshold_judge import Judge, Stores

_reading_rows = unpacker(ReadingRow)
_limits_rows = unpacker(LimitsRow)
_verdicts = unpacker(Verdict)


class BatteryThresholdBolt(QoldBolt):
    """Alert rows, then states, then the emit, then the ack: a crash in between repeats, never forgets."""

    outputs = ["device_shard", "alerts"]

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.states: StateStore | None = None
        self.stores = Stores(self.settings, self.clock)
        self.temperature = Judge("Temperature", self.stores, self.counters)
        self.battery = Judge("Battery", self.stores, self.counters)

    def handle(self, tup: Any) -> None:
        values = tup.values
        devices = by_device(_reading_rows(values.rows))
        limits = {row.device_id: row.limits for row in _limits_rows(values.limits)}
        verdicts = _verdicts(values.verdicts)
        for verdict in verdicts:
            device_id = verdict.device_id
            self._judge_battery(verdict, devices[device_id], limits[device_id])
        told = self._keep_findings(verdicts)
        changed_ids = self._save(verdicts)
        if changed_ids:
            self.counters["states_changed_meanwhile"] += len(changed_ids)
            again = self._judge_again(changed_ids, devices, limits)
            told += self._keep_findings(again)
            if self._save(again):
                raise Unavailable("another task goes on changing the same devices")
        for alert in told:
            self.counters[f"alerts.{alert.kind}"] += 1
        if told:
            self.emit([values.device_shard, pack(told)])

    def _judge_battery(self, verdict: Verdict, rows: Sequence[ReadingRow], limits: Limits) -> None:
        alerts, excursions = self.battery.judge(
            verdict.device_id, rows, verdict.state.battery, limits.battery_rules()
        )
        verdict.alerts += alerts
        verdict.excursions += excursions

    def _keep_findings(self, verdicts: Sequence[Verdict]) -> list[Alert]:
        """Write excursions and alerts; returns the alerts that were not there."""
        alert_log = self.stores.alert_log
        excursions = [change for verdict in verdicts for change in verdict.excursions]
        if excursions:
            alert_log().put_excursions(excursions)
        alerts = [alert for verdict in verdicts for alert in verdict.alerts]
        if not alerts:
            return []
        now_ms = self.clock.wall_ms()
        new = alert_log().open_once(alerts, topology=self.topology, now_ms=now_ms)
        return [alert for alert in alerts if alert.id in new]

    def _save(self, verdicts: Sequence[Verdict]) -> set[int]:
        """Write the states; returns the devices whose state has changed since it was loaded."""
        changes = [
            StateChange(state_key(v.device_id), v.version, encode_state(v.state)) for v in verdicts
        ]
        conflicts = set(self._states().save(changes, now_ms=self.clock.wall_ms()))
        return {v.device_id for v in verdicts if state_key(v.device_id) in conflicts}

    def _judge_again(
        self,
        device_ids: Collection[int],
        devices: Mapping[int, Sequence[ReadingRow]],
        limits: Mapping[int, Limits],
    ) -> list[Verdict]:
        now_ms = self.clock.wall_ms()
        loaded = load_states(self._states(), device_ids, self.counters, now_ms=now_ms)
        verdicts = []
        for device_id, (version, state) in loaded.items():
            rows, rules = devices[device_id], limits[device_id].temperature_rules()
            alerts, excursions = self.temperature.judge(device_id, rows, state.temperature, rules)
            verdict = Verdict(device_id, version, state, alerts, excursions)
            self._judge_battery(verdict, rows, limits[device_id])
            verdicts.append(verdict)
        return verdicts

    def _states(self) -> StateStore:
        if self.states is None:
            self.states = wiring.state_store(self.settings, self.clock)
        return self.states
