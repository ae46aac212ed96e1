"""What Device bolt and Gateway bolt share: a cache of the registry that follows `config`."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from qold import wiring
from qold.component import QoldBolt
from qold.config_changes import ConfigChanges, is_first_task
from qold.domain.credentials import Credential, CredentialCache, Kind
from qold.keyring import Keyring
from qold.ports import Device, Gateway, Registry


class CredentialBolt(QoldBolt):
    """Input is a tuple to `judge`, or one of `config` records; a subclass names its kind."""

    kind: ClassVar[Kind]

    outputs = ["message_id", "attempt", "device_shard", "rows"]

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.cache: CredentialCache | None = None
        self.keyring: Keyring | None = None
        self.registry: Registry | None = None
        # All three bolts of the topology follow `config`; one of them writes its dead letters.
        writes = self.kind == "device" and is_first_task(context)
        self.changes = ConfigChanges(self.counters, self.dead_letters if writes else None)

    def handle(self, tup: Any) -> None:
        if getattr(tup.values, "topic", None) == self.settings.config_topic:
            self._follow(tup.values)
        else:
            self.judge_tuple(tup.values)

    def judge_tuple(self, values: Any) -> None:
        """Emit a tuple of credentials with its verdicts."""
        rows = self.judge(values.rows)
        self.emit([values.message_id, values.attempt, values.device_shard, rows])

    def judge(self, rows: str) -> str:
        """The packed rows with a verdict each."""
        raise NotImplementedError

    def look_up(
        self, registry: Registry, identities: Collection[int]
    ) -> Mapping[int, Device] | Mapping[int, Gateway]:
        """The registry's rows of this kind."""
        raise NotImplementedError

    def loaded(self, identities: Collection[int]) -> CredentialCache:
        """The cache, after one registry read for all unknown ids; raises `Unavailable`.

        A row under a key that was added meanwhile makes the keys be read again.
        """
        if self.cache is None or self.keyring is None:
            self.keyring = Keyring(self.settings.secrets_dir, self.clock)
            self.cache = CredentialCache(self.kind, self.keyring.keys, wiring.bcrypt_verifier())
        now_ms = self.clock.monotonic_ms()
        missing = self.cache.missing(identities, now_ms=now_ms)
        if missing:
            if self.registry is None:
                self.registry = wiring.registry(self.settings, self.clock)
            found = self.look_up(self.registry, missing)
            self.counters["registry_reads"] += 1
            credentials = {
                identity: Credential(row.auth, row.active) for identity, row in found.items()
            }
            self.cache.load(missing, credentials, now_ms=now_ms)
        if self.cache.missing_keys and self.keyring.look_for(self.cache.missing_keys):
            self.counters["key_reads"] += 1
            self.cache.use(self.keyring.keys)
        return self.cache

    def _follow(self, values: Any) -> None:
        for change in self.changes.read(values):
            if self.cache is not None and change.resource == self.kind:
                self.cache.forget(change.id)
