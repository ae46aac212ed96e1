"""Report bolt: takes reports apart and splits device from gateway credentials (source 7.3.2)."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from streamparse import Stream

from qold.component import QoldBolt
from qold.domain.credentials import Keys, stored_form
from qold.keyring import load_keys
from qold.rejections import malformed, unread, unreadable
from qold.reports import OpenedReport, Unreadable, open_report
from qold.rows import ClaimedBatch, ClaimedGateway, LogRow, Refusal, pack, shard, unpacker

_log_rows = unpacker(LogRow)


class ReportBolt(QoldBolt):
    """Per device shard one tuple of device credentials with the readings, one of gateway credentials.

    Refusals ride with the credentials of their gateway; `rejected` is for reports that show none.
    """

    outputs = [
        Stream(["message_id", "attempt", "device_shard", "rows"], name="devices"),
        Stream(["message_id", "attempt", "device_shard", "rows"], name="gateways"),
        Stream(["gateway_shard", "message_id", "entries"], name="rejected"),
    ]

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.keys: Keys | None = None

    def handle(self, tup: Any) -> None:
        values = tup.values
        source = f"{values.topic}:{values.partition}"
        devices: dict[int, list[ClaimedBatch]] = defaultdict(list)
        gateways: dict[int, list[ClaimedGateway]] = defaultdict(list)
        rejected: list[Refusal] = []
        for row in _log_rows(values.records):
            report = f"{source}:{row.offset}"
            if row.unread_bytes:
                rejected.append(unread(report, row))
                self.counters["rejected.oversized"] += 1
                continue
            try:
                opened = open_report(row.value, self.settings.report_readings)
            except Unreadable as fault:
                refusal = unreadable(fault, report, row, self._device_digest)
                self.counters[f"rejected.{refusal.reason}"] += refusal.readings
                if fault.gateway is None:
                    rejected.append(refusal)
                    continue
                opened = OpenedReport(fault.gateway.id, str(fault.gateway.auth))
                refusals = [refusal]
            else:
                refusals = malformed(
                    opened.faults, report, opened.gateway_id, row, self._device_digest
                )
                self.counters["rejected.malformed"] += len(opened.faults)
            self._split(opened, refusals, row, devices, gateways)
        message_id = f"{source}:{values.first}-{values.last}"
        for device_shard, claimed in gateways.items():
            head = [message_id, values.attempt, device_shard]
            self.emit([*head, pack(devices[device_shard])], stream="devices")
            self.emit([*head, pack(claimed)], stream="gateways")
        if rejected:
            self.emit([0, message_id, pack(rejected)], stream="rejected")

    def _split(
        self,
        opened: OpenedReport,
        refusals: list[Refusal],
        row: LogRow,
        devices: dict[int, list[ClaimedBatch]],
        gateways: dict[int, list[ClaimedGateway]],
    ) -> None:
        gateway = opened.gateway_id, opened.gateway_token
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
        if refusals and not touched:
            touched.add(0)
        for device_shard in touched:
            gateways[device_shard].append(ClaimedGateway(row.offset, *gateway, "", refusals))
            refusals = []

    def _device_digest(self, device_id: int, token: str) -> str:
        if self.keys is None:
            self.keys = load_keys(self.settings.secrets_dir)
        return stored_form(self.keys, "device", device_id, token)
