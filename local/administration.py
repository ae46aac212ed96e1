"""The registry of a state folder, opened for changes, with everything a change needs."""

from local.embedded import prepare
from qold import wiring
from qold.clock import SystemClock
from qold.keyring import ensure_keys
from qold.ports import Registry
from qold.provisioning import Provisioning
from qold.records import MAX_DEVICE_ID
from qold.settings import Settings


def open_registry(settings: Settings) -> Registry:
    """For reading."""
    return wiring.registry(settings, SystemClock())


def open_provisioning(settings: Settings) -> Provisioning:
    """For changes; makes secrets, topics and schemas that are missing."""
    prepare(settings)
    clock = SystemClock()
    return Provisioning(
        wiring.registry(settings, clock),
        wiring.message_log(settings, clock),
        ensure_keys(settings.secrets_dir),
        clock,
        config_topic=settings.config_topic,
    )


def find_device(settings: Settings, name: str) -> int | None:
    """A device's id from its id, or from the `name` in its config."""
    registry = open_registry(settings)
    is_id = name.isascii() and name.isdigit() and len(name) <= len(str(MAX_DEVICE_ID))
    if is_id and registry.devices([int(name)]):
        return int(name)
    after_id = 0
    while page := registry.list_devices(after_id=after_id):
        for device in page:
            if device.config.get("name") == name:
                return device.id
        after_id = page[-1].id
    return None
