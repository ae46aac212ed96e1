"""What happens to devices, gateways and refusals when a digest key is added beside a first one."""

import bcrypt
import pytest

from qold import wiring
from qold.domain.credentials import Keys
from qold.keyring import LOOK_AGAIN_MS, load_keys
from qold.ports import Device, Gateway
from qold.provisioning import Provisioning
from qold.redrive import Redrive
from tests.support.pipeline import NOW_S, Site, make_batch, make_reading, make_report


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def add_key(site, number=2) -> Keys:
    (site.settings.secrets_dir / f"token-{number}.key").write_text(f"{number:064x}\n")
    return load_keys(site.settings.secrets_dir)


def send(site, *reports):
    """Through a new authentication topology, as after a restart."""
    topology = site.topology("authentication")
    site.log.append("reports", [("1", report) for report in reports])
    site.run(topology)
    topology.stop()


def redrive(site, reason):
    states = wiring.state_store(site.settings, site.clock)
    return Redrive(site.log, site.registry, states, site.settings, site.clock).run(reason)


def provisioning(site) -> Provisioning:
    """As a command opens it now, with the newest key."""
    return Provisioning(
        site.registry,
        site.log,
        load_keys(site.settings.secrets_dir),
        site.clock,
        config_topic=site.settings.config_topic,
    )


def key_reads(topology):
    return sum(bolt.counters["key_reads"] for bolt in topology.components("device_bolt"))


def temperatures(site):
    return sorted(record["reading"]["temp"] for record in site.records("readings"))


def refusals(site):
    return [refused["reason"] for refused in site.records("reports.rejected")]


def test_refusals_of_rows_under_the_old_key_are_driven_again_after_a_rotation(site):
    """Tried beside the right token: a wrong one of a device and of a gateway, which stay out."""
    gateway = site.provisioning.create_gateway()
    device, idle = site.provisioning.create_devices(2, active=True)
    site.provisioning.change_device(idle.id, active=False)
    add_key(site)
    send(
        site,
        make_report(gateway, make_batch(idle, make_reading(temp=1.0))),
        make_report(gateway, make_batch(idle, make_reading(temp=2.0), token=device.auth)),
        make_report(gateway, make_batch(device, make_reading(temp=3.0)), token="wrong"),
    )
    assert refusals(site) == ["inactive", "bad-device-token", "bad-gateway-token"]
    site.provisioning.change_device(idle.id, active=True)
    assert redrive(site, "inactive").published == 1
    assert redrive(site, "bad-device-token").still == {"bad-device-token": 1}
    assert redrive(site, "bad-gateway-token").still == {"bad-gateway-token": 1}
    assert temperatures(site) == [1.0]


def test_a_gateway_under_the_old_key_is_driven_again_after_a_rotation(site):
    gateway = site.provisioning.create_gateway()
    (device,) = site.provisioning.create_devices(1, active=True)
    site.provisioning.change_gateway(gateway.id, active=False)
    add_key(site)
    send(site, make_report(gateway, make_batch(device, make_reading(temp=1.0))))
    assert refusals(site) == ["inactive-gateway"]
    site.provisioning.change_gateway(gateway.id, active=True)
    assert redrive(site, "inactive-gateway").published == 1
    assert temperatures(site) == [1.0]


def test_a_row_that_got_another_token_refuses_what_came_with_the_first(site):
    """Tried: a row put anew under the same key and under a newer one, after `inactive`."""
    gateway = site.provisioning.create_gateway()
    one, two = site.provisioning.create_devices(2, active=False)
    send(site, make_report(gateway, *(make_batch(device, make_reading()) for device in (one, two))))
    assert refusals(site) == ["inactive", "inactive"]
    digest = "0" * 64
    site.registry.put_devices(
        Device(device.id, f"blake2b${key_id}${digest}", True, {})
        for device, key_id in ((one, 1), (two, 2))
    )
    assert redrive(site, "inactive").still == {"bad-device-token": 2}
    assert temperatures(site) == []


class Older:
    """A device and a gateway of an older installation, whose rows hold bcrypt."""

    def __init__(self, site):
        self.site = site
        self.gateway = site.provisioning.create_gateway()
        (self.device,) = site.provisioning.create_devices(1, active=True)
        self.put()

    def put(self, *, device=True, gateway=True):
        """Rows with these states, told as a change."""
        registry, change = self.site.registry, self.site.provisioning
        registry.put_devices([Device(self.device.id, self._hash(self.device), device, {})])
        registry.put_gateways([Gateway(self.gateway.id, self._hash(self.gateway), gateway, {})])
        change.change_device(self.device.id)
        change.change_gateway(self.gateway.id)

    def report(self, *readings, device_token=None, gateway_token=None):
        batch = make_batch(self.device, *readings, token=device_token)
        return make_report(self.gateway, batch, token=gateway_token)

    @staticmethod
    def _hash(row):
        return bcrypt.hashpw(str(row.auth).encode(), bcrypt.gensalt(4)).decode()


@pytest.mark.parametrize(
    ("states", "reason"),
    [({"device": False}, "inactive"), ({"gateway": False}, "inactive-gateway")],
)
def test_a_bcrypt_row_is_driven_again_where_its_token_was_found_right(site, states, reason):
    """Tried beside it: wrong tokens, which no later state of the row lets through."""
    older = Older(site)
    older.put(**states)
    send(
        site,
        older.report(make_reading(temp=1.0)),
        older.report(make_reading(temp=2.0), device_token=4711),
        older.report(make_reading(temp=3.0), gateway_token="wrong"),
    )
    older.put()
    assert redrive(site, reason).published == 1
    for each in ("inactive", "inactive-gateway", "bad-device-token", "bad-gateway-token"):
        assert redrive(site, each).published == 0
    assert temperatures(site) == [1.0]


def test_a_bad_time_says_that_both_tokens_were_right(site):
    """With bcrypt rows too, so that only the time stands in the way."""
    older = Older(site)
    send(site, older.report(make_reading(NOW_S + 3600)))
    (refused,) = site.records("reports.rejected")
    assert refused["message"]["device"] == {"id": older.device.id}
    assert refused["message"]["gateway"] == {"id": older.gateway.id}
    assert redrive(site, "bad-time").still == {"bad-time": 1}


# -- a key that comes while a topology runs


def running(site):
    """A topology that has its keys, and `report` to send one reading through it."""
    gateway = site.provisioning.create_gateway()
    (known,) = site.provisioning.create_devices(1, active=True)
    topology = site.topology("authentication")

    def report(device, temp, gateway=gateway):
        batch = make_batch(device, make_reading(temp=temp))
        site.log.append("reports", [("1", make_report(gateway, batch))])
        site.run(topology)

    report(known, 0.0)
    return topology, known, report


def test_a_running_topology_takes_credentials_under_a_key_that_was_added(site):
    topology, known, report = running(site)
    add_key(site)
    (device,) = provisioning(site).create_devices(1, active=True)
    gateway = provisioning(site).create_gateway()
    assert site.registry.devices([device.id])[device.id].auth.startswith("blake2b$2$")
    report(device, 1.0)
    report(known, 2.0, gateway)
    assert refusals(site) == []
    assert temperatures(site) == [0.0, 1.0, 2.0]
    assert key_reads(topology) == 1


def test_a_key_that_is_really_missing_is_not_looked_for_with_every_message(site):
    """Its rows are refused; another key is found at once, the missing one 10 s after it is back."""
    topology, _, report = running(site)
    add_key(site, 7)
    (lost,) = provisioning(site).create_devices(1, active=True)
    key = site.settings.secrets_dir / "token-7.key"
    saved = key.rename(site.settings.secrets_dir / "backup")
    for _ in range(20):
        report(lost, 1.0)
    assert refusals(site) == ["bad-device-token"] * 20
    assert key_reads(topology) == 1

    add_key(site, 2)
    (device,) = provisioning(site).create_devices(1, active=True)
    report(device, 2.0)
    assert key_reads(topology) == 2

    saved.rename(key)
    site.clock.advance_to(site.clock.monotonic_ms() + LOOK_AGAIN_MS)
    report(lost, 3.0)
    report(lost, 4.0)
    assert temperatures(site) == [0.0, 2.0, 3.0, 4.0]
    assert key_reads(topology) == 3


@pytest.mark.parametrize("content", ["", "no key", "ab" * 31], ids=["empty", "text", "short"])
def test_a_key_file_that_is_not_finished_leaves_the_known_keys_in_use(site, content):
    _, known, report = running(site)
    add_key(site)
    (device,) = provisioning(site).create_devices(1, active=True)
    key = site.settings.secrets_dir / "token-2.key"
    finished = key.read_text()
    key.write_text(content)
    report(device, 1.0)
    report(known, 2.0)
    assert refusals(site) == ["bad-device-token"]
    key.write_text(finished)
    site.clock.advance_to(site.clock.monotonic_ms() + LOOK_AGAIN_MS)
    report(device, 3.0)
    assert temperatures(site) == [0.0, 2.0, 3.0]
