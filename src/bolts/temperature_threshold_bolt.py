"""Temperature bolt of the thresholds topology (source 7.3.4)."""

from collections.abc import Mapping
from typing import Any

from qold import wiring
from qold.component import QoldBolt
from qold.device_states import load_states
from qold.ports import StateStore
from qold.rows import LimitsRow, ReadingRow, Verdict, by_device, pack, unpacker
from qold.threshold_judge import Judge, Stores

_reading_rows = unpacker(ReadingRow)
_limits_rows = unpacker(LimitsRow)


class TemperatureThresholdBolt(QoldBolt):
    """Loads the devices' states, judges temperatures, and hands both on to the Battery bolt."""

    outputs = ["device_shard", "rows", "limits", "verdicts"]

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.states: StateStore | None = None
        self.temperature = Judge("Temperature", Stores(self.settings, self.clock), self.counters)

    def handle(self, tup: Any) -> None:
        values = tup.values
        devices = by_device(_reading_rows(values.rows))
        limits = {row.device_id: row.limits for row in _limits_rows(values.limits)}
        if self.states is None:
            self.states = wiring.state_store(self.settings, self.clock)
        loaded = load_states(self.states, devices, self.counters, now_ms=self.clock.wall_ms())
        verdicts = []
        for device_id, rows in devices.items():
            version, state = loaded[device_id]
            rules = limits[device_id].temperature_rules()
            alerts, excursions = self.temperature.judge(device_id, rows, state.temperature, rules)
            verdicts.append(Verdict(device_id, version, state, alerts, excursions))
        self.emit([values.device_shard, values.rows, values.limits, pack(verdicts)])
