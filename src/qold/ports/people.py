"""The ports through which people are told."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Protocol

from qold.domain.model import (
    Alert,
    AlertStory,
    Channel,
    Contact,
    Delivery,
    DeviceExcursions,
    Message,
    StoredExcursion,
)
from qold.ports.errors import Port


class AlertLog(Port, Protocol):
    """Alerts, the excursions they come from, and what became of telling people.

    An alert is opened once, planned once (who hears it), and each of its deliveries ends in one
    message. A message keeps its id and its alerts whatever happens, so nothing is told under two.
    """

    def open_once(self, alerts: Sequence[Alert], *, topology: str, now_ms: int) -> set[str]:
        """Keep alerts; returns the ids that were not there. True once per id, also of two writers."""
        ...

    def put_excursions(self, changes: Sequence[DeviceExcursions]) -> None:
        """Upsert excursions by (device, kind, start), after what a rebuild replaces was deleted."""
        ...

    def unplanned(self, topology: str, *, before_ms: int, limit: int) -> list[Alert]:
        """Alerts opened before `before_ms` for which nobody has planned deliveries."""
        ...

    def plan(self, deliveries: Mapping[str, Sequence[Delivery]], *, now_ms: int) -> None:
        """Who hears each alert (by id; may be nobody). An alert that has a plan keeps it."""
        ...

    def claim(
        self, topology: str, channel: Channel, *, now_ms: int, lease_ms: int, limit: int
    ) -> list[Message]:
        """Messages of a channel to hand over now; nobody else gets them for `lease_ms`.

        First those whose retry or lease is due, then new ones: when one delivery of an address is
        due, all that wait there and are due within the same digest become one message.
        """
        ...

    def settle(
        self,
        message_id: str,
        status: Literal["delivered", "refused"],
        *,
        now_ms: int,
        detail: str = "",
    ) -> None:
        """The provider has it, or will never take it."""
        ...

    def retry(self, message_id: str, *, at_ms: int, detail: str) -> None:
        """Not delivered: may be claimed again from `at_ms` on."""
        ...

    def expire(self, *, before_ms: int, now_ms: int) -> int:
        """Give up what was opened before `before_ms` and is not delivered; returns the deliveries."""
        ...

    def alerts(
        self,
        *,
        device_id: int | None = None,
        only_open: bool = False,
        from_ms: int = 0,
        to_ms: int | None = None,
        limit: int = 1000,
    ) -> list[AlertStory]:
        """Newest first by firing time; open ones are neither over nor acknowledged."""
        ...

    def alert(self, alert_id: str) -> AlertStory | None: ...

    def acknowledge(self, alert_id: str, *, by: str, now_ms: int) -> bool:
        """False when there is no such alert; the first acknowledgement stays."""
        ...

    def excursions(
        self, *, device_id: int | None = None, from_ms: int = 0, to_ms: int | None = None
    ) -> list[StoredExcursion]:
        """Those that overlap the period, in order of device, start and kind."""
        ...


class Directory(Port, Protocol):
    """Who a device belongs to (source 7.3.4: the Qold App)."""

    def look_up(self, device_ids: Collection[int]) -> Mapping[int, Contact]:
        """The known ones, within 10 s for all of them; raises `Unavailable`.

        Any field of a contact may be blank: what the other side has but cannot be used is, too.
        """
        ...

    def staff(self) -> Contact | None:
        """Whom the operations team is reached by; also the fallback for an unknown device.

        None where nobody was named; raises `Unavailable`.
        """
        ...


class ContactBook(Directory, Protocol):
    """A directory that is ours to write: the embedded one."""

    def put(self, device_id: int, contact: Contact) -> None:
        """Keep or replace; raises `Rejected` for a phone number, locale or name that is not one."""
        ...

    def put_staff(self, contact: Contact) -> None:
        """As `put`; without a phone it is `Rejected`, because the staff stand in for everybody."""
        ...

    def list(self, *, after_id: int = 0, limit: int = 1000) -> list[tuple[int, Contact]]:
        """Pages of contacts by device id, without the staff."""
        ...


class Notifier(Port, Protocol):
    """Hands a text to a person (source 7.3.4: the Qold SMS service)."""

    def send(self, *, message_id: str, to: str, text: str) -> None:
        """Returns when the provider has accepted it; the same `message_id` is told once.

        `to` is E.164. Raises `Rejected` for what the provider will never take, `Unavailable`
        otherwise, also where it may have been accepted: it is then sent again under the same id.
        """
        ...


class Analytics(Port, Protocol):
    """Takes events for dashboards (source 7.3.5: Keen)."""

    def record(self, collection: str, events: Sequence[Mapping[str, Any]]) -> None:
        """Each event is JSON with an `id`; the same id again is the same event.

        Raises like `Notifier`, and then some of `events` may have been recorded.
        """
        ...


class LegacyApi(Port, Protocol):
    """The API of the system before this one (source 7.3.6: qold-hw-api)."""

    def post(self, reading: Mapping[str, str]) -> None:
        """One reading: `id`, `temperature`, `battery`, `t`, each as the legacy API spells it.

        Raises `Rejected` for 4xx, `Unavailable` for 5xx, 408, 425, 429, refusals and silence; never
        tries again by itself. What is `Unavailable` may have been taken.
        """
        ...
