"""What every AlertLog promises: opened once, planned once, told under one id, nothing forgotten."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qold import wiring
from qold.domain.model import Alert, Delivery, DeviceExcursions, StoredExcursion
from qold.domain.routing import DIGEST_MS, MAX_ALERTS_OF_A_MESSAGE
from tests.support import alert_workers
from tests.support.commands import ROOT, environment
from tests.support.stores import Stores

T = alert_workers.NOW_MS
LEASE = 60_000
HOUR, DAY = 3_600_000, 86_400_000
OWNER, STAFF = "+351911111111", "+351922222222"


@pytest.fixture(params=["sqlite", "cassandra"])
def stores(request, tmp_path):
    yield from Stores.of(request, tmp_path, "alert_log_url", wiring.alert_log)


@pytest.fixture
def open_log(stores):
    """Opens the same alert log, each time as another process would."""
    return stores.open


@pytest.fixture
def log(stores):
    return stores.open()


def warm(alert_id="a", device_id=7, fired_at_ms=T, **more):
    values = {"value": 9.5, "limit": 8.0, **more}
    subject = values.pop("subject", f"device:{device_id}")
    kind = values.pop("kind", "temperature.high")
    started_at_ms = values.pop("started_at_ms", fired_at_ms)
    return Alert(alert_id, kind, subject, fired_at_ms, started_at_ms, **values)


def sms(address=OWNER, due_at_ms=T, *, locale="pt", name="Fridge 3", channel="sms"):
    return Delivery(channel, address, locale, name, due_at_ms)


def opened(log, *alerts, topology="thresholds", now_ms=T):
    return log.open_once(alerts, topology=topology, now_ms=now_ms)


def claimed(log, now_ms=T, *, topology="thresholds", channel="sms", limit=100):
    return log.claim(topology, channel, now_ms=now_ms, lease_ms=LEASE, limit=limit)


def statuses(log, alert_id="a"):
    return {d.address: d.status for d in log.alert(alert_id).deliveries}


def excursion(started_at_ms=T, ended_at_ms=None, *, device_id=7, kind="temperature.high", **more):
    values = {"confirmed_at_ms": started_at_ms, "extreme": 9.5, "observed_ms": 0, **more}
    return StoredExcursion(device_id, kind, started_at_ms, ended_at_ms=ended_at_ms, **values)


def put(log, *excursions, replace_from_ms=None, device_id=7, kinds=("temperature.high",)):
    log.put_excursions([DeviceExcursions(device_id, kinds, excursions, replace_from_ms)])


# Alerts


def test_an_alert_is_opened_once_and_stays_as_it_was(log, open_log):
    alert = warm(ended_at_ms=T + 5, is_live=False, detail="é")
    assert opened(log, alert) == {"a"}
    assert opened(log, replace(alert, value=99.0), warm("b")) == {"b"}
    story = open_log().alert("a")
    assert story.alert == alert
    assert (story.topology, story.opened_at_ms) == ("thresholds", T)
    assert (story.acknowledged_by, story.acknowledged_at_ms, story.deliveries) == (None, None, ())


def test_nothing_to_do_is_allowed(log):
    assert opened(log) == set()
    log.put_excursions([])
    log.plan({}, now_ms=T)
    assert claimed(log) == []
    assert log.expire(before_ms=T, now_ms=T) == 0
    assert (log.alerts(), log.excursions(), log.alert("a")) == ([], [], None)


def test_what_is_unknown_changes_nothing(log):
    log.plan({"nobody": [sms()]}, now_ms=T)
    log.settle("nobody", "delivered", now_ms=T)
    log.retry("nobody", at_ms=T, detail="")
    assert not log.acknowledge("nobody", by="ana", now_ms=T)
    assert (log.alerts(), claimed(log)) == ([], [])


def test_many_alerts_in_one_batch(log):
    alerts = [warm(f"a{n:05}", fired_at_ms=T + n) for n in range(5000)]
    assert len(opened(log, *alerts)) == 5000
    assert opened(log, *alerts[::-1]) == set()
    assert [story.alert for story in log.alerts(limit=3)] == alerts[:-4:-1]


def test_alerts_are_listed_newest_first_by_device_and_time(log):
    opened(log, warm("a", 7, T), warm("b", 8, T + 1), warm("c", 7, T + 2), warm("d", 77, T + 3))
    ids = [story.alert.id for story in log.alerts()]
    assert ids == ["d", "c", "b", "a"]
    assert [story.alert.id for story in log.alerts(device_id=7)] == ["c", "a"]
    assert [story.alert.id for story in log.alerts(from_ms=T + 1, to_ms=T + 3)] == ["c", "b"]
    assert [story.alert.id for story in log.alerts(device_id=7, limit=1)] == ["c"]


def test_the_first_acknowledgement_stays(log):
    opened(log, warm())
    assert log.acknowledge("a", by="ana", now_ms=T + 1)
    assert log.acknowledge("a", by="rui", now_ms=T + 2)
    story = log.alert("a")
    assert (story.acknowledged_by, story.acknowledged_at_ms) == ("ana", T + 1)


# Open or over


def open_ids(log):
    return {story.alert.id for story in log.alerts(only_open=True)}


def test_an_alert_is_open_until_its_excursion_ends(log):
    put(log, excursion(T - HOUR))
    opened(log, warm(fired_at_ms=T))
    assert open_ids(log) == {"a"}
    put(log, excursion(T - HOUR, T + HOUR))
    assert open_ids(log) == set()
    assert log.alert("a").over_at_ms == T + HOUR


def test_an_alert_is_not_closed_by_another_excursion(log):
    put(log, excursion(T - HOUR), excursion(T - 3 * HOUR, T - 2 * HOUR))
    put(log, excursion(T - HOUR, T + 1, kind="temperature.low"), kinds=("temperature.low",))
    put(log, excursion(T - HOUR, T + 1, device_id=8), device_id=8)
    opened(log, warm(fired_at_ms=T))
    assert open_ids(log) == {"a"}


def test_an_alert_whose_excursion_a_late_reading_undid_is_over(log):
    put(log, excursion(T - HOUR))
    opened(log, warm(fired_at_ms=T))
    put(log, excursion(T + HOUR), replace_from_ms=T - DAY)
    assert open_ids(log) == set()
    assert log.alert("a").over_at_ms == T


def test_a_silence_is_open_until_the_return(log):
    opened(
        log, warm("s", kind="device.silent"), warm("g", kind="gateway.silent", subject="gateway:7")
    )
    opened(log, warm("old", kind="device.back", started_at_ms=T - DAY, fired_at_ms=T + 1))
    assert open_ids(log) == {"s", "g"}
    opened(log, warm("r", kind="device.back", started_at_ms=T, fired_at_ms=T + HOUR))
    assert open_ids(log) == {"g"}
    assert log.alert("s").over_at_ms == T + HOUR


def test_an_acknowledged_alert_is_not_open_and_a_system_alert_only_then(log):
    opened(log, warm("x", kind="system.lag", subject="system:raw"))
    assert open_ids(log) == {"x"}
    log.acknowledge("x", by="ana", now_ms=T)
    assert open_ids(log) == set()
    assert log.alert("x").over_at_ms is None


# Excursions


def test_an_excursion_is_replaced_by_its_start(log, open_log):
    put(log, excursion(T), excursion(T - DAY, T - DAY + 5))
    put(log, excursion(T, T + 9, extreme=12.25, observed_ms=9))
    assert open_log().excursions() == [
        excursion(T - DAY, T - DAY + 5),
        excursion(T, T + 9, extreme=12.25, observed_ms=9),
    ]


def test_a_rebuild_takes_away_what_it_replaces_and_nothing_else(log):
    kept = [
        excursion(T - DAY, T - 1),
        excursion(T, kind="battery.low"),
        excursion(T, device_id=8),
    ]
    gone = [excursion(T - HOUR, T), excursion(T - 3 * DAY), excursion(T + 5, T + 7)]
    for found in (*kept, *gone):
        put(log, found, device_id=found.device_id, kinds=(found.kind,))
    put(log, excursion(T + 6), replace_from_ms=T)
    found = log.excursions()
    assert set(found) == {*kept, excursion(T + 6)}
    assert found == sorted(found, key=lambda e: (e.device_id, e.started_at_ms, e.kind))


def test_excursions_that_overlap_a_period(log):
    put(log, excursion(T, T + 10), excursion(T + 20, T + 30), excursion(T + 40))
    starts = [e.started_at_ms - T for e in log.excursions(from_ms=T + 10, to_ms=T + 40)]
    assert starts == [20]
    assert [e.started_at_ms - T for e in log.excursions(from_ms=T + 29, to_ms=T + 41)] == [20, 40]
    assert [e.started_at_ms - T for e in log.excursions(from_ms=T + DAY)] == [40]
    assert log.excursions(device_id=8) == []


# Plans


def test_what_nobody_has_planned_is_found_again(log):
    opened(log, warm("a"), now_ms=T)
    opened(log, warm("b"), now_ms=T + 1)
    opened(log, warm("c"), topology="alert", now_ms=T)
    assert [a.id for a in log.unplanned("thresholds", before_ms=T + 1, limit=9)] == ["a"]
    assert [a.id for a in log.unplanned("thresholds", before_ms=T + 9, limit=1)] == ["a"]
    log.plan({"a": [], "b": [sms()]}, now_ms=T)
    assert log.unplanned("thresholds", before_ms=T + 9, limit=9) == []
    assert [a.id for a in log.unplanned("alert", before_ms=T + 9, limit=9)] == ["c"]


def test_a_plan_is_kept_whatever_comes_later(log):
    opened(log, warm())
    log.plan({"a": [sms(OWNER)]}, now_ms=T)
    log.plan({"a": [sms(OWNER), sms(STAFF)]}, now_ms=T)
    assert statuses(log) == {OWNER: "waiting"}
    opened(log, warm("nobody"))
    log.plan({"nobody": []}, now_ms=T)
    log.plan({"nobody": [sms(STAFF)]}, now_ms=T)
    assert statuses(log, "nobody") == {}


# Messages


def test_a_message_is_what_was_planned(log):
    alert = warm(detail="x")
    opened(log, alert)
    log.plan({"a": [sms(due_at_ms=T + 5)]}, now_ms=T)
    assert claimed(log, T + 4) == []
    (message,) = claimed(log, T + 5)
    assert (message.channel, message.address, message.locale) == ("sms", OWNER, "pt")
    assert (message.alerts, message.names, message.attempts) == ((alert,), ("Fridge 3",), 1)
    assert statuses(log) == {OWNER: "sending"}


def test_alerts_of_one_recipient_within_a_minute_are_one_message(log):
    times = [T + n * 4_000 for n in range(15)] + [T + DIGEST_MS, T + DIGEST_MS + 1]
    for n, at_ms in enumerate(times):
        opened(log, warm(f"a{n:02}", n + 1, at_ms), now_ms=at_ms)
        log.plan({f"a{n:02}": [sms(due_at_ms=at_ms + DIGEST_MS, name=str(n))]}, now_ms=at_ms)
    first, *others = claimed(log, T + DIGEST_MS + 1)
    assert others == []
    assert [alert.id for alert in first.alerts] == [f"a{n:02}" for n in range(16)]
    assert first.names == tuple(map(str, range(16)))
    log.settle(first.id, "delivered", now_ms=T + DIGEST_MS + 1)
    (second,) = claimed(log, T + 2 * DIGEST_MS + 1)
    assert [alert.id for alert in second.alerts] == ["a16"]
    assert first.id != second.id


def test_other_people_channels_and_topologies_have_their_own_messages(log):
    opened(log, warm("a"), warm("b"))
    opened(log, warm("c"), topology="alert")
    events = sms("alerts", channel="analytics")
    log.plan({"a": [sms(), sms(STAFF), events], "b": [sms()], "c": [sms()]}, now_ms=T)
    found = {
        (m.channel, m.address): [a.id for a in m.alerts]
        for m in claimed(log) + claimed(log, channel="analytics")
    }
    assert found == {
        ("sms", OWNER): ["a", "b"],
        ("sms", STAFF): ["a"],
        ("analytics", "alerts"): ["a"],
    }
    (other,) = claimed(log, topology="alert")
    assert [alert.id for alert in other.alerts] == ["c"]


def test_a_lease_keeps_others_away_and_ends(log, open_log):
    opened(log, warm())
    log.plan({"a": [sms()]}, now_ms=T)
    (message,) = claimed(log)
    assert claimed(open_log(), T + LEASE - 1) == []
    (again,) = claimed(open_log(), T + LEASE)
    assert again == replace(message, attempts=2)


def test_a_message_never_changes_its_id_or_its_alerts(log):
    opened(log, warm("a"))
    log.plan({"a": [sms(due_at_ms=T)]}, now_ms=T)
    (message,) = claimed(log)
    opened(log, warm("b", fired_at_ms=T - 5))
    log.plan({"b": [sms(due_at_ms=T)]}, now_ms=T)
    log.retry(message.id, at_ms=T + 10, detail="503")
    again, other = claimed(log, T + 10)
    assert again == replace(message, attempts=2)
    assert [alert.id for alert in other.alerts] == ["b"]
    (delivery,) = log.alert("a").deliveries
    assert (delivery.status, delivery.message_id, delivery.attempts, delivery.detail) == (
        "sending",
        message.id,
        2,
        "503",
    )


def test_a_digest_has_a_bound(log):
    count = MAX_ALERTS_OF_A_MESSAGE + 5
    alerts = [warm(f"a{n:05}", n + 1) for n in range(count)]
    opened(log, *alerts)
    log.plan({alert.id: [sms()] for alert in alerts}, now_ms=T)
    sizes = []
    while found := claimed(log, limit=1):
        sizes += [len(message.alerts) for message in found]
    assert sizes == [MAX_ALERTS_OF_A_MESSAGE, 5]


@pytest.mark.parametrize("status", ["delivered", "refused"])
def test_what_is_settled_is_claimed_no_more(log, status):
    opened(log, warm())
    log.plan({"a": [sms()]}, now_ms=T)
    (message,) = claimed(log)
    log.settle(message.id, status, now_ms=T + 7, detail="because")
    (delivery,) = log.alert("a").deliveries
    assert (delivery.status, delivery.changed_at_ms, delivery.detail) == (status, T + 7, "because")
    log.retry(message.id, at_ms=T, detail="from a process that is late")
    assert claimed(log, T + DAY) == []
    assert log.expire(before_ms=T + DAY, now_ms=T + DAY) == 0


def test_delivered_stays_delivered(log):
    opened(log, warm())
    log.plan({"a": [sms()]}, now_ms=T)
    (message,) = claimed(log)
    log.settle(message.id, "delivered", now_ms=T)
    log.settle(message.id, "refused", now_ms=T + 1, detail="a repeat")
    assert statuses(log) == {OWNER: "delivered"}


def test_what_is_not_delivered_in_time_is_given_up_and_recorded(log):
    opened(log, warm("waits"), warm("tried"), warm("done"), now_ms=T)
    opened(log, warm("young"), now_ms=T + 1)
    log.plan({"tried": [sms("+1000000")], "done": [sms("+2000000")]}, now_ms=T)
    tried, done = claimed(log)
    log.settle(done.id, "delivered", now_ms=T)
    log.retry(tried.id, at_ms=T + DAY, detail="503")
    log.plan({"waits": [sms(due_at_ms=T + 2 * DAY)], "young": [sms(STAFF)]}, now_ms=T)
    assert log.expire(before_ms=T, now_ms=T + DAY) == 0
    assert log.expire(before_ms=T + 1, now_ms=T + DAY) == 2
    assert log.expire(before_ms=T + 1, now_ms=T + DAY) == 0
    found = {a: list(statuses(log, a).values()) for a in ("waits", "tried", "done", "young")}
    assert found == {
        "waits": ["expired"],
        "tried": ["expired"],
        "done": ["delivered"],
        "young": ["waiting"],
    }
    assert [m.address for m in claimed(log, T + 3 * DAY)] == [STAFF]


def test_a_digest_is_not_given_up_while_its_newest_alert_is_young(log):
    opened(log, warm("a"), now_ms=T)
    opened(log, warm("b"), now_ms=T + 1000)
    log.plan({"a": [sms()], "b": [sms()]}, now_ms=T + 1000)
    (message,) = claimed(log)
    assert len(message.alerts) == 2
    assert log.expire(before_ms=T + 1000, now_ms=T + DAY) == 0
    assert log.expire(before_ms=T + 1001, now_ms=T + DAY) == 2


def test_what_is_due_again_goes_before_what_is_new(log):
    opened(log, *[warm(f"a{n}", n + 1) for n in range(4)])
    log.plan({"a0": [sms("+1000000")]}, now_ms=T)
    (old,) = claimed(log)
    log.retry(old.id, at_ms=T + 5, detail="503")
    log.plan({f"a{n}": [sms(f"+{n}999999")] for n in range(1, 4)}, now_ms=T)
    again, _ = claimed(log, T + 5, limit=2)
    assert again.id == old.id
    assert len(claimed(log, T + 5, limit=9)) == 2


# Two writers


def beside_each_other(stores, *commands):
    """Run workers that all start at one word; returns what each printed."""
    running = [
        subprocess.Popen(
            [sys.executable, alert_workers.__file__, *stores.place(), *map(str, command)],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [json.loads(process.communicate()[0]) for process in running]


def test_two_writers_open_each_alert_once_between_them(log, stores):
    log.ping()
    first, second = beside_each_other(stores, ("open", 200, "first"), ("open", 200, "last"))
    assert sorted(first + second) == [alert_workers.alert(n).id for n in range(200)]


def test_two_claimers_share_the_messages_and_make_no_digest_twice(log, stores):
    alerts = [alert_workers.alert(n) for n in range(300)]
    log.open_once(alerts, topology=alert_workers.TOPOLOGY, now_ms=T)
    log.plan({a.id: [alert_workers.delivery(n)] for n, a in enumerate(alerts)}, now_ms=T)
    first, second = beside_each_other(stores, ("claim",), ("claim",))
    assert len(first + second) == len(set(first + second)) == 100
    told = {d.message_id for a in alerts for d in log.alert(a.id).deliveries}
    assert told == set(first + second)


# A model


step_st = st.one_of(
    st.tuples(st.just("open"), st.integers(0, 9)),
    st.tuples(st.just("plan"), st.integers(0, 9), st.sets(st.integers(0, 2))),
    st.tuples(st.just("claim"), st.integers(1, 3)),
    st.tuples(st.sampled_from(["delivered", "refused", "retry"]), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.sampled_from([1_000, 30_000, 61_000, 6 * HOUR])),
    st.tuples(st.just("expire")),
    st.tuples(st.just("reopen")),
)


def test_whatever_happens_nothing_is_told_under_two_ids_or_forgotten(stores):
    """Opening, planning, claiming, settling, retrying, waiting and restarting in any order."""
    examples = settings(max_examples=60 if stores.is_quick else 6, deadline=None)
    examples(given(steps=st.lists(step_st, max_size=40))(check_model))(stores)


def check_model(stores, steps):
    log, now_ms = stores.open_empty(), T
    messages, planned, opened_at, order = {}, {}, {}, []
    for name, *details in steps:
        if name == "open":
            alert_id = f"a{details[0]}"
            assert opened(log, warm(alert_id, details[0]), now_ms=now_ms) == (
                set() if alert_id in opened_at else {alert_id}
            )
            opened_at.setdefault(alert_id, now_ms)
        elif name == "plan":
            alert_id = f"a{details[0]}"
            addresses = {f"+{n}000000" for n in details[1]}
            due_ms = now_ms + DIGEST_MS
            log.plan({alert_id: [sms(a, due_ms) for a in sorted(addresses)]}, now_ms=now_ms)
            if alert_id in opened_at:
                planned.setdefault(alert_id, addresses)
        elif name == "claim":
            for message in claimed(log, now_ms, limit=details[0]):
                content = (message.address, tuple(a.id for a in message.alerts))
                assert messages.setdefault(message.id, content) == content
                order.append(message.id)
        elif name in ("delivered", "refused", "retry") and details[0] < len(order):
            if name == "retry":
                log.retry(order[details[0]], at_ms=now_ms + 5_000, detail="503")
            else:
                log.settle(order[details[0]], name, now_ms=now_ms)
        elif name == "wait":
            now_ms += details[0]
        elif name == "expire":
            log.expire(before_ms=now_ms - DAY, now_ms=now_ms)
        elif name == "reopen":
            log.close()
    told = [(address, a) for address, alerts in messages.values() for a in alerts]
    assert len(told) == len(set(told)), "told in two messages"
    stored = {a: set(statuses(log, a)) for a in opened_at}
    assert stored == {a: planned.get(a, set()) for a in opened_at}
    left = {a.id for a in log.unplanned("thresholds", before_ms=now_ms + 1, limit=99)}
    assert left == opened_at.keys() - planned.keys()
