"""A gateway's refusals are bounded by the hour, and no other gateway pays for them."""

from collections import Counter
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from qold.domain.refusal_budget import BYTES_EACH, HOUR_MS, RefusalBudget

HOUR = 498_737 * HOUR_MS


@dataclass(frozen=True)
class Refused:
    key: str
    index: int = 0
    value: bytes = b"x" * 300
    reason: str = "malformed"
    readings: int = 1
    gateway_id: int = 7
    is_proven: bool = True
    appended_at_ms: int = HOUR


def refusals(count, *, first=0, **more):
    return [Refused(f"reports:0:{first + n}", **more) for n in range(count)]


def counted(budget):
    return {
        (overrun.account.gateway_id, overrun.account.is_proven): dict(overrun.counts)
        for overrun in budget.overruns()
    }


def test_a_gateway_has_so_many_an_hour_and_the_rest_are_counted_by_reason():
    budget = RefusalBudget(gateway_records=10, unproven_records=20)
    flood = [*refusals(12), *refusals(3, first=12, reason="bad-time", readings=5)]
    assert budget.admit("reports:0:0-14", flood) == flood[:10]
    (overrun,) = budget.overruns()
    assert overrun.counts == {"malformed": 2, "bad-time": 15}
    assert (overrun.source, overrun.index) == ("reports:0:14", 0)
    budget.clear_overruns()
    assert budget.overruns() == []


def test_bytes_are_bounded_as_well():
    budget = RefusalBudget(gateway_records=100, unproven_records=100)
    large = refusals(100, value=b"x" * 10 * BYTES_EACH)
    assert budget.admit("reports:0:0-99", large) == large[:10]
    assert budget.admit("reports:0:100-199", refusals(100, first=100)) == []


def test_the_next_hour_has_a_budget_of_its_own_and_the_last_one_keeps_what_it_spent():
    budget = RefusalBudget(gateway_records=10, unproven_records=20)
    assert len(budget.admit("reports:0:0-19", refusals(20))) == 10
    later = refusals(20, first=20, appended_at_ms=HOUR + HOUR_MS)
    assert len(budget.admit("reports:0:20-39", later)) == 10
    last_ms = HOUR + HOUR_MS - 1
    assert budget.admit("reports:1:0-9", refusals(10, appended_at_ms=last_ms)) == []
    assert [o.account.hour_ms for o in budget.overruns()] == [HOUR, HOUR + HOUR_MS]


def test_another_gateway_keeps_all_of_its_own():
    budget = RefusalBudget(gateway_records=10, unproven_records=20)
    budget.admit("reports:0:0-99", refusals(100))
    honest = refusals(10, first=100, gateway_id=8)
    assert budget.admit("reports:0:100-109", honest) == honest


def test_a_false_claim_spends_nothing_of_the_gateway_it_names():
    budget = RefusalBudget(gateway_records=10, unproven_records=20)
    budget.admit("reports:0:0-99", refusals(100, is_proven=False))
    honest = refusals(10, first=100)
    assert budget.admit("reports:0:100-109", honest) == honest
    assert counted(budget) == {(7, False): {"malformed": 90}}


def test_one_claim_leaves_room_for_the_next_and_all_claims_have_a_most():
    budget = RefusalBudget(gateway_records=10, unproven_records=20)
    assert len(budget.admit("reports:0:0-99", refusals(100, is_proven=False))) == 10
    misconfigured = refusals(5, first=100, gateway_id=8, is_proven=False)
    assert budget.admit("reports:0:100-104", misconfigured) == misconfigured
    many = [Refused(f"reports:0:{n}", gateway_id=n, is_proven=False) for n in range(200, 5000)]
    assert len(budget.admit("reports:0:200-4999", many)) == 5
    # Claims have no bound: those after the total share one count.
    assert counted(budget) == {(7, False): {"malformed": 90}, (0, False): {"malformed": 4795}}


def test_a_replay_is_decided_alike_and_neither_charged_nor_counted_again():
    budget = RefusalBudget(gateway_records=10, unproven_records=20)
    parts = refusals(8), refusals(8, first=8)
    first = [budget.admit("reports:0:0-15", part) for part in parts]
    assert [len(part) for part in first] == [8, 2]
    # Two bolts' tuples of a replayed range may come the other way round.
    again = [budget.admit("reports:0:0-15", part) for part in reversed(parts)]
    assert again == first[::-1]
    assert counted(budget) == {(7, True): {"malformed": 6}}


def test_false_claims_cannot_push_a_gateway_out_of_memory():
    budget = RefusalBudget(gateway_records=10, unproven_records=1000, max_tracked=50)
    budget.admit("reports:0:0-9", refusals(10))
    claims = [Refused(f"reports:0:{n}", gateway_id=n, is_proven=False) for n in range(10, 500)]
    budget.admit("reports:0:10-499", claims)
    assert budget.admit("reports:0:500-509", refusals(10, first=500)) == []


@given(
    st.lists(
        st.builds(
            Refused,
            key=st.just(""),
            value=st.integers(0, 3 * BYTES_EACH).map(lambda size: b"x" * size),
            reason=st.sampled_from(["malformed", "bad-time"]),
            readings=st.integers(1, 100),
            gateway_id=st.integers(0, 5),
            is_proven=st.booleans(),
            appended_at_ms=st.sampled_from([HOUR, HOUR + HOUR_MS]),
        ),
        max_size=200,
    )
)
def test_every_refusal_is_written_within_its_budget_or_counted(drawn):
    budget = RefusalBudget(gateway_records=5, unproven_records=8)
    sent = [replace(refusal, key=f"reports:0:{n}") for n, refusal in enumerate(drawn)]
    written = [r for n, r in enumerate(sent) for _ in budget.admit(f"reports:0:{n}-{n}", [r])]
    records, sizes = Counter(), Counter()
    for refusal in written:
        names = [(refusal.gateway_id, refusal.is_proven, refusal.appended_at_ms)]
        if not refusal.is_proven:
            names.append(("unproven", False, refusal.appended_at_ms))
        for name in names:
            records[name] += 1
            sizes[name] += len(refusal.value)
    for name, count in records.items():
        limit = 8 if name[0] == "unproven" else 5
        assert count <= limit
        assert sizes[name] <= limit * BYTES_EACH
    kept = sum(refusal.readings for refusal in written)
    over = sum(overrun.counts.total() for overrun in budget.overruns())
    assert kept + over == sum(refusal.readings for refusal in sent)
