"""Report bolt: takes reports apart and splits device from gateway credentials (source 7.3.2)."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from streamparse import Stream

from qold.component import QoldBolt
from qold.dead_letters import describe
from qold.domain.credentials import Keys, stored_form
from qold.keyring import load_keys
from qold.rejections import rejection, without_token
from qold.reports import Fault, NewerVersion, OpenedReport, Unreadable, open_report
from qold.rows import ClaimedBatch, ClaimedGateway, Entry, LogRow, pack, shard, unpacker

_log_rows = unpacker(LogRow)


class ReportBolt(QoldBolt):
    """Per device shard one tuple of device credentials with the readings, one of gateway credentials."""

    outputs = [
        Stream(["message_id", "attempt", "device_shard", "rows"], name="devices"),
        Stream(["message_id", "attempt", "device_shard", "rows"], name="gateways"),
        Stream(["device_shard", "entries"], name="rejected"),
    ]

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.keys: Keys | None = None

    def handle(self, tup: Any) -> None:
        values = tup.values
        source = f"{values.topic}:{values.partition}"
        devices: dict[int, list[ClaimedBatch]] = defaultdict(list)
        gateways: dict[int, list[ClaimedGateway]] = defaultdict(list)
        rejected: dict[int, list[Entry]] = defaultdict(list)
        for row in _log_rows(values.records):
            try:
                opened = open_report(row.value)
            except Unreadable as fault:
                entry = _unreadable("malformed", fault, source, row)
                rejected[0].append(entry)
                self.counters["rejected.malformed"] += fault.readings
                continue
            except NewerVersion:
                newer = Unreadable("written by a newer Qold; drive it again after the upgrade")
                rejected[0].append(_unreadable("newer-version", newer, source, row))
                self.counters["rejected.newer-version"] += 1
                continue
            self._split(opened, row, devices, gateways)
            for reading_fault in opened.faults:
                where = shard(reading_fault.device_id or 0, self.settings.shards)
                rejected[where].append(self._malformed(reading_fault, opened, source, row))
                self.counters["rejected.malformed"] += 1
        message_id = f"{source}:{values.first}-{values.last}"
        for device_shard, batches in devices.items():
            head = [message_id, values.attempt, device_shard]
            self.emit([*head, pack(batches)], stream="devices")
            self.emit([*head, pack(gateways[device_shard])], stream="gateways")
        for device_shard, entries in rejected.items():
            self.emit([device_shard, pack(entries)], stream="rejected")

    def _split(
        self,
        opened: OpenedReport,
        row: LogRow,
        devices: dict[int, list[ClaimedBatch]],
        gateways: dict[int, list[ClaimedGateway]],
    ) -> None:
        claimed = ClaimedGateway(row.offset, opened.gateway_id, opened.gateway_token)
        touched = set()
        for claim in opened.claims:
            device_shard = shard(claim.device_id, self.settings.shards)
            touched.add(device_shard)
            devices[device_shard].append(
                ClaimedBatch(
                    row.offset,
                    row.appended_at_ms,
                    opened.gateway_id,
                    claim.device_id,
                    claim.token,
                    claim.readings,
                )
            )
            self.counters["readings"] += len(claim.readings)
        for device_shard in touched:
            gateways[device_shard].append(claimed)

    def _malformed(self, fault: Fault, opened: OpenedReport, source: str, row: LogRow) -> Entry:
        return rejection(
            "malformed",
            f"{source}:{row.offset}",
            fault.index,
            opened.gateway_id,
            message=without_token(fault.message, self._device_digest),
            detail=fault.detail,
        )

    def _device_digest(self, device_id: int, token: str) -> str:
        if self.keys is None:
            self.keys = load_keys(self.settings.secrets_dir)
        return stored_form(self.keys, "device", device_id, token)


def _unreadable(reason: str, fault: Unreadable, source: str, row: LogRow) -> Entry:
    described = describe(row.value)
    return rejection(
        reason,
        f"{source}:{row.offset}",
        0,
        None,
        detail=fault.detail,
        readings=fault.readings,
        sha256=described["sha256"],
        length=described["length"],
        error_position=fault.position,
    )
