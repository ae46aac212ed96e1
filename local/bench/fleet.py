"""The devices and gateways of a workload in a registry, each with a token."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from local.bench.patience import patiently
from local.bench.thresholds import limit_of
from local.bench.workload import Workload, gateway_of
from qold import wiring
from qold.clock import SystemClock
from qold.domain.credentials import stored_form
from qold.keyring import ensure_keys
from qold.ports import Device, Gateway
from qold.provisioning import GATEWAY_TOKEN_BYTES, MAX_DEVICE_TOKEN, NewDevice, NewGateway
from qold.settings import Settings

_PAGE = 2000


@dataclass(frozen=True, slots=True)
class Fleet:
    """Credentials, in order of id."""

    devices: Sequence[NewDevice]
    gateways: Sequence[NewGateway]


def register(settings: Settings, workload: Workload) -> Fleet:
    """Put them in, all active, with the limits that thresholds' ledger knows."""
    keys = ensure_keys(settings.secrets_dir)
    devices = [
        NewDevice(device_id, 1 + secrets.randbelow(MAX_DEVICE_TOKEN), state=True)
        for device_id in workload.device_ids
    ]
    gateways = [
        NewGateway(gateway_id, secrets.token_hex(GATEWAY_TOKEN_BYTES))
        for gateway_id in sorted({gateway_of(device_id) for device_id in workload.device_ids})
    ]
    registry = wiring.registry(settings, SystemClock())
    rows = [
        Device(
            new.id,
            stored_form(keys, "device", new.id, str(new.auth)),
            True,
            {"maxTemperature": str(limit_of(new.id))},
        )
        for new in devices
    ]
    for start in range(0, len(rows), _PAGE):
        patiently(partial(registry.put_devices, rows[start : start + _PAGE]))
    patiently(
        partial(
            registry.put_gateways,
            [
                Gateway(new.id, stored_form(keys, "gateway", new.id, new.auth), True)
                for new in gateways
            ],
        )
    )
    registry.close()
    return Fleet(devices, gateways)
