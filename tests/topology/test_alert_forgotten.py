"""The working state of the alert topology is gone, as when Redis comes back empty: nobody notices."""

import json
import sqlite3

import pytest

from qold import wiring
from qold.ports import RawRow
from tests.support.pipeline import ALL, NOW_S
from tests.support.shop import MINUTE_S, Shop


class ForgetfulShop(Shop):
    """`forget` empties the state store and the times of who was heard, under the topology's feet.

    What is heard is in the raw store, too, as the topology of that name has it.
    """

    def hear(self, device_id, **when):
        super().hear(device_id, **when)
        ends = self.log.offsets("readings")
        reader = self.log.reader("raw", "readings", ends)
        while records := reader.poll(ends, **ALL):
            rows = [json.loads(record.value) for record in records]
            self.raw.write(
                [
                    RawRow(
                        row["device"]["id"],
                        row["reading"]["time"] * 1000,
                        row["reading"]["seq"],
                        record.value.decode(),
                        row["origin"],
                    )
                    for row, record in zip(rows, records, strict=True)
                ]
            )
            reader.commit({records[0].partition: records[-1].offset + 1})
        reader.close()

    def forget(self, *ports):
        for name in ports or ("state", "last_seen"):
            with sqlite3.connect(self.folder / f"{name}.db") as file:
                for (table,) in file.execute("SELECT name FROM sqlite_master WHERE type='table'"):
                    if not table.startswith("sqlite_"):
                        file.execute(f"DELETE FROM {table}")  # noqa: S608  # what is there


def story(shop, *, forget):
    """Of seven devices behind two gateways: who falls silent, is silent, returns, never spoke."""
    cut_off = [i for i in shop.devices if shop.through[i] == shop.new_gateways[1].id]
    silent, dying, *alive = [i for i in shop.devices if i not in cut_off]
    everybody = [silent, dying, *alive, *cut_off]
    shop.live(hours=1)
    shop.live(hours=1.5, speaking=[dying, *alive])
    (mute,) = shop.provisioning.create_devices(1, active=True)
    shop.live(hours=0.5, speaking=[dying, *alive])
    shop.live(hours=0.5, speaking=alive)
    if forget:
        shop.forget()
    shop.live(hours=2, speaking=alive)
    shop.live(hours=2, speaking=everybody)
    return silent, dying, mute.id


def test_the_same_is_told_as_if_nothing_had_been_forgotten(tmp_path):
    shops = []
    for forget in (False, True):
        folder = tmp_path / str(forget)
        folder.mkdir()
        shop = ForgetfulShop(folder, gateways=2, devices=7)
        silent, dying, mute = story(shop, forget=forget)
        shops.append(shop)
    remembered, forgotten = (shop.told() for shop in shops)
    kinds = [(kind, subject) for kind, subject, *_ in remembered]
    assert kinds.count(("device.silent", f"device:{silent}")) == 1
    assert kinds.count(("device.silent", f"device:{dying}")) == 1
    assert kinds.count(("device.silent", f"device:{mute}")) == 1
    assert [kind for kind, _ in kinds].count("gateway.silent") == 1
    assert {kind for kind, _ in kinds} >= {"device.back", "gateway.back"}
    # Who never spoke was watched from its activation, which no store has: it counts anew.
    subject = f"device:{mute}"
    assert [told for told in forgotten if told[1] != subject] == [
        told for told in remembered if told[1] != subject
    ]
    assert [told[:2] for told in forgotten if told[1] == subject] == [("device.silent", subject)]


@pytest.mark.parametrize("ports", [("state",), ("last_seen",)])
def test_half_of_it_gone_alarms_nobody_and_tells_nothing_twice(tmp_path, ports):
    shop = ForgetfulShop(tmp_path)
    first, *others = shop.devices
    shop.live(hours=1)
    shop.live(hours=2, speaking=others)
    told = shop.told()
    assert [alert[:2] for alert in told] == [("device.silent", f"device:{first}")]
    shop.forget(*ports)
    shop.live(hours=3, speaking=others)
    assert shop.told() == told


def test_when_everybody_was_last_heard_is_known_again(tmp_path):
    shop = ForgetfulShop(tmp_path)
    last_seen = wiring.last_seen(shop.settings, shop.clock)
    first, *others = shop.devices
    shop.live(hours=1)
    shop.live(hours=0.5, speaking=others)
    watched = [*shop.devices, *(-new.id for new in shop.new_gateways)]
    before = last_seen.get(watched)
    assert before[first] < (NOW_S + 60 * MINUTE_S) * 1000
    shop.forget()
    assert last_seen.get(watched) == {}
    shop.live(hours=0.05, speaking=[])
    assert last_seen.get(watched) == before


def test_who_was_not_heard_for_long_and_never_told_counts_from_now(tmp_path):
    """It was switched off, or nobody watched: its old readings are no silence."""
    shop = ForgetfulShop(tmp_path)
    first, *others = shop.devices
    shop.live(hours=1)
    shop.provisioning.change_device(first, active=False)
    shop.live(hours=5, speaking=others)
    shop.provisioning.change_device(first, active=True)
    shop.live(hours=0.2, speaking=others)
    shop.forget()
    shop.live(hours=0.9, speaking=others)
    assert shop.told() == []
    shop.live(hours=0.5, speaking=others)
    assert [alert[:2] for alert in shop.told()] == [("device.silent", f"device:{first}")]
