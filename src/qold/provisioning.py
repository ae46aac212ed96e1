"""Registering devices and gateways: fresh ids, random tokens kept only as digests, caches told."""

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from qold.clock import Clock
from qold.domain.credentials import Keys, stored_form
from qold.domain.limits import read_limits
from qold.plain_text import is_plain, visible
from qold.ports import Device, Gateway, MessageLog, Registry, Rejected, Resource
from qold.records import VERSION, ConfigChange, encode

MAX_DEVICE_TOKEN = 2**53 - 1
GATEWAY_TOKEN_BYTES = 20


@dataclass(frozen=True, slots=True)
class NewDevice:
    """A device's credentials, told once (source D.7)."""

    id: int
    auth: int
    state: bool


@dataclass(frozen=True, slots=True)
class NewGateway:
    """A gateway's credentials, told once (source D.14)."""

    id: int
    auth: str


class Provisioning:
    """Every change of the registry goes through here, so that each is told on `config`."""

    def __init__(
        self,
        registry: Registry,
        log: MessageLog,
        keys: Keys,
        clock: Clock,
        *,
        config_topic: str,
        random_below: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        self._registry = registry
        self._log = log
        self._keys = keys
        self._clock = clock
        self._config_topic = config_topic
        self._random_below = random_below

    def create_devices(
        self, count: int, *, active: bool, config: Mapping[str, str] | None = None
    ) -> list[NewDevice]:
        """Register `count` devices; an inactive one is refused until it is activated.

        Raises `Rejected("bad-limits")` for limits that could not be read, `Rejected("bad-text")` for
        control characters.
        """
        _check_text(config or {})
        _check_limits(config or {})
        created = [
            NewDevice(identity, 1 + self._random_below(MAX_DEVICE_TOKEN), active)
            for identity in self._registry.allocate("device", count)
        ]
        self._registry.put_devices(
            Device(new.id, self._stored_device(new), active, dict(config or {})) for new in created
        )
        self._tell("device", [new.id for new in created])
        return created

    def create_gateway(self, *, config: Mapping[str, str] | None = None) -> NewGateway:
        """Register one gateway, active; raises `Rejected("bad-text")` for control characters."""
        _check_text(config or {})
        (identity,) = self._registry.allocate("gateway", 1)
        token = f"{self._random_below(1 << 8 * GATEWAY_TOKEN_BYTES):040x}"
        stored = stored_form(self._keys, "gateway", identity, token)
        self._registry.put_gateways([Gateway(identity, stored, True, dict(config or {}))])
        self._tell("gateway", [identity])
        return NewGateway(identity, token)

    def change_device(
        self, device_id: int, *, active: bool | None = None, config: Mapping[str, str] | None = None
    ) -> Device | None:
        """Set the state or merge config entries, a blank one goes; None for an unknown device.

        Raises `Rejected("bad-limits")` for limits that could not be read, `Rejected("bad-text")` for
        control characters.
        """
        device = self._registry.devices([device_id]).get(device_id)
        if device is None:
            return None
        merged = device.config
        if config is not None:
            _check_text(config)
            merged = {name: value for name, value in {**merged, **config}.items() if value}
            _check_limits(merged)
        changed = replace(device, active=device.active if active is None else active, config=merged)
        self._registry.put_devices([changed])
        self._tell("device", [device_id])
        return changed

    def change_gateway(
        self,
        gateway_id: int,
        *,
        active: bool | None = None,
        config: Mapping[str, str] | None = None,
    ) -> Gateway | None:
        """Set the state or merge config entries; None when there is no such gateway.

        Raises `Rejected("bad-text")` for control characters.
        """
        _check_text(config or {})
        gateway = self._registry.gateways([gateway_id]).get(gateway_id)
        if gateway is None:
            return None
        changed = replace(
            gateway,
            active=gateway.active if active is None else active,
            config={**gateway.config, **(config or {})},
        )
        self._registry.put_gateways([changed])
        self._tell("gateway", [gateway_id])
        return changed

    def delete_device(self, device_id: int) -> bool:
        """True when it was there."""
        was_there = self._registry.delete_device(device_id)
        self._tell("device", [device_id])
        return was_there

    def delete_gateway(self, gateway_id: int) -> bool:
        """True when it was there."""
        was_there = self._registry.delete_gateway(gateway_id)
        self._tell("gateway", [gateway_id])
        return was_there

    def _stored_device(self, new: NewDevice) -> str:
        return stored_form(self._keys, "device", new.id, str(new.auth))

    def _tell(self, resource: Resource, identities: Iterable[int]) -> None:
        now_s = self._clock.wall_ms() // 1000
        self._log.append(
            self._config_topic,
            [
                (f"{resource}:{identity}", encode(ConfigChange(VERSION, resource, identity, now_s)))
                for identity in identities
            ],
        )


def _check_text(config: Mapping[str, str]) -> None:
    for name, value in config.items():
        if not is_plain(name) or not is_plain(value):
            raise Rejected("bad-text", f"{visible(name)}: {value!r} holds control characters")


def _check_limits(config: Mapping[str, str]) -> None:
    _, problems = read_limits(config)
    if problems:
        raise Rejected("bad-limits", "; ".join(problems))
