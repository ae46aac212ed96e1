"""One metric of devices against their limits (source 7.3.4): what their readings come to.

Readings in order advance the device's state; late ones rebuild it from the raw store.
"""

import logging
from collections import Counter
from collections.abc import Sequence, Set

from qold import wiring
from qold.clock import Clock
from qold.domain.alerts import APART_MS, decide, remembered
from qold.domain.excursions import DeviceState, Excursion, Rule, Sample, advance, rebuild
from qold.domain.model import Alert, DeviceExcursions, Metric, StoredExcursion
from qold.domain.readings import fingerprint, flags_of
from qold.domain.thresholds import Deferred, MetricState
from qold.ports import AlertLog, RawStore, Unavailable
from qold.records import decode_reading_record
from qold.rows import ReadingRow
from qold.settings import Settings

PATIENCE_MS = 10_000

log = logging.getLogger(__name__)


class Stores:
    """The stores that a judgement asks, each connected at its first use."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.clock = clock
        self._settings = settings
        self._raw_store: RawStore | None = None
        self._alert_log: AlertLog | None = None

    def raw_store(self) -> RawStore:
        if self._raw_store is None:
            self._raw_store = wiring.raw_store(self._settings, self.clock)
        return self._raw_store

    def alert_log(self) -> AlertLog:
        if self._alert_log is None:
            self._alert_log = wiring.alert_log(self._settings, self.clock)
        return self._alert_log


class Judge:
    """Of one metric; `counters` are those of its bolt."""

    def __init__(self, metric: Metric, stores: Stores, counters: Counter[str]) -> None:
        self._is_temperature = metric == "Temperature"
        self._stores = stores
        self._counters = counters
        self._behind_since_ms: int | None = None

    def judge(
        self, device_id: int, rows: Sequence[ReadingRow], state: MetricState, rules: Sequence[Rule]
    ) -> tuple[list[Alert], list[DeviceExcursions]]:
        """Take a device's readings into its state; returns what they call for.

        Raises `Unavailable`, for ten seconds at most, while the raw store does not hold what a
        rebuild needs; then the rebuild is deferred to the device's next reading, because nothing
        may hold up the readings of others.
        """
        findings = _Findings(device_id, state, rules, self._stores)
        excursions = state.excursions
        newest_ms, newest_mark = excursions.newest or (-1, 0)
        newest_row: ReadingRow | None = None  # its fingerprint is worked out when somebody asks
        late: set[Sample] = set()
        for row in rows:
            value = row.temp if self._is_temperature else row.batt
            if value is None:
                continue
            at_ms, mark = row.measured_at_ms, 0
            if at_ms <= newest_ms:
                mark = _mark(row)
                if newest_row is not None:
                    newest_mark, newest_row = _mark(newest_row), None
                    excursions.newest = (newest_ms, newest_mark)
                if (at_ms, mark) <= (newest_ms, newest_mark):
                    self._note_late(Sample(at_ms, mark, value), excursions, late)
                    continue
                newest_mark = mark
            else:
                newest_row = row
            newest_ms = at_ms
            if changed := advance(excursions, Sample(at_ms, mark, value), rules):
                findings.take(changed, received_at_ms=row.received_at_ms)
        if newest_row is not None:
            excursions.newest = (newest_ms, _mark(newest_row))
        if late or state.deferred is not None:
            self._rebuild(findings, late, rows)
        return findings.alerts, findings.changes()

    def _note_late(self, sample: Sample, excursions: DeviceState, late: set[Sample]) -> None:
        if (sample.at_ms, sample.fingerprint) == excursions.newest:
            return  # the last one again
        if excursions.is_too_late(sample):
            self._counters["too_late"] += 1
        else:
            late.add(sample)

    def _rebuild(
        self, findings: "_Findings", late: Set[Sample], rows: Sequence[ReadingRow]
    ) -> None:
        state, deferred = findings.state, findings.state.deferred
        now_ms = self._stores.clock.wall_ms()
        starts = [state.excursions.rebuild_from_ms(min(late))] if late else []
        from_ms = min(starts if deferred is None else [deferred.from_ms, *starts])
        must_do = deferred is not None and deferred.is_overdue(now_ms)
        try:
            samples = self._samples(findings, late, rows, from_ms=from_ms, is_whole=not must_do)
        except Unavailable as behind:
            if deferred is None and self._may_wait():
                raise
            self._counters["rebuilds_deferred"] += 1
            log.warning("device_id=%d late readings wait: %s", findings.device_id, behind)
            state.deferred = Deferred(from_ms, deferred.since_ms if deferred else now_ms)
            return
        self._behind_since_ms = None
        state.deferred = None
        if not samples:
            return
        self._counters["rebuilt"] += 1
        findings.ask_what_was_told(from_ms)
        received_at_ms = max(row.received_at_ms for row in rows)
        found = rebuild(state.excursions, samples, findings.rules)
        findings.replace(from_ms, found, received_at_ms=received_at_ms)

    def _may_wait(self) -> bool:
        now_ms = self._stores.clock.monotonic_ms()
        if self._behind_since_ms is None:
            self._behind_since_ms = now_ms
        return now_ms - self._behind_since_ms < PATIENCE_MS

    def _samples(
        self,
        findings: "_Findings",
        late: Set[Sample],
        rows: Sequence[ReadingRow],
        *,
        from_ms: int,
        is_whole: bool,
    ) -> set[Sample]:
        """Every reading from then on; raises `Unavailable` where `is_whole` and raw has fewer.

        Without those that are late now, there must be as many as the state has taken in.
        """
        device_id, excursions = findings.device_id, findings.state.excursions
        newest = excursions.newest or (0, 0)
        found = set()
        for raw in self._stores.raw_store().read(device_id, from_ms, newest[0] + 1):
            reading = decode_reading_record(raw.message.encode()).reading
            value = reading.temp if self._is_temperature else reading.batt
            if value is not None:
                flags = flags_of(door=reading.door, defrost=reading.defrost)
                mark = fingerprint(device_id, reading.seq, reading.temp, reading.batt, flags)
                found.add(Sample(raw.measured_at_ms, mark, value))
        for row in rows:
            value = row.temp if self._is_temperature else row.batt
            if value is not None and row.measured_at_ms >= from_ms:
                sample = Sample(row.measured_at_ms, _mark(row), value)
                if sample not in late:
                    found.add(sample)
        if is_whole and len(found) < excursions.readings_since(from_ms):
            raise Unavailable("the raw store is behind")
        return {s for s in found | late if (s.at_ms, s.fingerprint) <= newest}


class _Findings:
    """Gathers what the readings of one device and metric call for."""

    def __init__(
        self, device_id: int, state: MetricState, rules: Sequence[Rule], stores: Stores
    ) -> None:
        self.device_id = device_id
        self.state = state
        self.rules = rules
        self.alerts: list[Alert] = []
        self._stores = stores
        self._has_asked = False
        self._changed: dict[tuple[str, int], StoredExcursion] = {}
        self._replace_from_ms: int | None = None

    def take(self, excursions: Sequence[Excursion], *, received_at_ms: int) -> None:
        for excursion in excursions:
            stored = StoredExcursion(
                self.device_id,
                excursion.kind,
                excursion.started_at_ms,
                excursion.confirmed_at_ms,
                excursion.ended_at_ms,
                excursion.extreme,
                excursion.observed_ms,
            )
            self._changed[excursion.kind, excursion.started_at_ms] = stored
            alert = self._decide(excursion, received_at_ms)
            if alert is not None and not self._has_asked:
                # After a crash between alert and state, the state does not know what was told.
                self.ask_what_was_told(excursion.started_at_ms)
                alert = self._decide(excursion, received_at_ms)
            if alert is not None:
                self.alerts.append(alert)
                self._remember(excursion.kind, alert.fired_at_ms)

    def replace(
        self, from_ms: int, excursions: Sequence[Excursion], *, received_at_ms: int
    ) -> None:
        """As `take`, of every excursion since `from_ms`."""
        self._changed.clear()
        self._replace_from_ms = from_ms
        self.take(excursions, received_at_ms=received_at_ms)

    def ask_what_was_told(self, since_ms: int) -> None:
        """Remember the alerts that the alert log has of this device."""
        self._has_asked = True
        told = self._stores.alert_log().alerts(
            device_id=self.device_id, from_ms=max(0, since_ms - APART_MS)
        )
        for story in told:
            self._remember(story.alert.kind, story.alert.fired_at_ms)

    def changes(self) -> list[DeviceExcursions]:
        if not self._changed and self._replace_from_ms is None:
            return []
        kinds = tuple(rule.kind for rule in self.rules)
        changed = tuple(self._changed.values())
        return [DeviceExcursions(self.device_id, kinds, changed, self._replace_from_ms)]

    def _decide(self, excursion: Excursion, received_at_ms: int) -> Alert | None:
        newest = self.state.excursions.newest
        return decide(
            self.device_id,
            excursion,
            self.state.fired_at_ms.get(excursion.kind, ()),
            newest_at_ms=newest[0] if newest else 0,
            received_at_ms=received_at_ms,
            limit=next(rule.limit for rule in self.rules if rule.kind == excursion.kind),
        )

    def _remember(self, kind: str, fired_at_ms: int) -> None:
        for rule in self.rules:
            if rule.kind == kind:
                fired = {*self.state.fired_at_ms.get(rule.kind, ()), fired_at_ms}
                kept = remembered(sorted(fired), self.state.excursions)
                self.state.fired_at_ms[rule.kind] = kept


def _mark(row: ReadingRow) -> int:
    return fingerprint(row.device_id, row.seq, row.temp, row.batt, row.flags)
