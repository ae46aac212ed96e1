"""The demo's oracle and the rules of the pipeline, written apart, agree on every series."""

from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from local.simulator.alert_oracle import Value, expected_alerts, spells_of
from local.simulator.bounds import Bounds
from qold.domain.alerts import decide
from qold.domain.excursions import DeviceState, Sample, advance, rebuild
from qold.domain.limits import read_limits

START_S = 1_795_456_000

bounds_st = st.builds(
    Bounds,
    lowest=st.sampled_from([None, 2.0]),
    highest=st.sampled_from([None, 8.0]),
    delay_s=st.sampled_from([0, 900, 1800, 3600]),
    hysteresis=st.sampled_from([0.0, 0.5]),
    interval_s=st.sampled_from([900, 3600]),
)
steps_st = st.lists(
    st.tuples(
        st.sampled_from([60, 900, 900, 900, 1800, 1801, 7200]),
        st.sampled_from([0.0, 1.9, 2.0, 2.3, 2.5, 5.0, 7.5, 7.6, 8.0, 8.01, 12.0, 19.0, 20.0]),
        st.sampled_from([0, 0, 0, 1800, 1801, 20_000]),
    ),
    max_size=60,
)


def arrivals_of(steps, *, in_order):
    """Readings as they reach the log; `in_order`: a late one holds up those behind it."""
    at_s, received_s, arrivals = START_S, 0, []
    for gap_s, value, late_s in steps:
        at_s += gap_s
        received_s = max(received_s, at_s + late_s) if in_order else at_s + late_s
        arrivals.append(Value(at_s, value, received_s))
    return sorted(arrivals, key=lambda value: value.received_s)


def by_the_pipeline(arrivals, rules):
    """Excursions and alerts as (kind, …), one tuple for all that came at one moment."""
    state, excursions, fired, alerts, known = DeviceState(), {}, {}, [], []

    def judge(changed, received_s):
        for excursion in changed:
            excursions[excursion.kind, excursion.started_at_ms] = excursion
            alert = decide(
                1,
                excursion,
                fired.get(excursion.kind, ()),
                newest_at_ms=state.newest[0],
                received_at_ms=received_s * 1000,
            )
            if alert is not None:
                fired.setdefault(alert.kind, []).append(alert.fired_at_ms)
                alerts.append((alert.kind, alert.fired_at_ms, alert.started_at_ms, alert.is_live))

    for received_s, group in groupby(arrivals, key=lambda value: value.received_s):
        late = []
        for value in group:
            sample = Sample(value.at_s * 1000, value.at_s, value.value)
            known.append(sample)
            if state.is_in_order(sample):
                judge(advance(state, sample, rules), received_s)
            else:
                late.append(sample)
        if late:
            from_ms = state.rebuild_from_ms(min(late))
            found = rebuild(state, [s for s in known if s.at_ms >= from_ms], rules)
            for key, excursion in list(excursions.items()):
                if excursion.ended_at_ms is None or excursion.ended_at_ms >= from_ms:
                    del excursions[key]
            judge(found, received_s)
    found = {
        (e.kind, e.started_at_ms, e.confirmed_at_ms, e.ended_at_ms, e.extreme)
        for e in excursions.values()
    }
    return found, sorted(alerts)


def by_the_oracle(arrivals, ways):
    found, alerts = set(), []
    for find in ways.values():
        spells, told = expected_alerts(arrivals, find)
        for spell in spells:
            ended_ms = None if spell.ended_s is None else spell.ended_s * 1000
            confirmed_ms = spell.members[spell.confirmed].at_s * 1000
            found.add(
                (spell.kind, spell.members[0].at_s * 1000, confirmed_ms, ended_ms, spell.extreme)
            )
        alerts += [(e.kind, e.fired_s * 1000, e.started_s * 1000, e.is_live) for e in told]
    return found, sorted(alerts)


@settings(max_examples=300)
@given(bounds_st, steps_st, st.booleans())
def test_temperatures(bounds, steps, in_order):
    arrivals = arrivals_of(steps, in_order=in_order)
    limits, problems = read_limits(bounds.as_config())
    assert problems == []
    expected = by_the_oracle(arrivals, spells_of(bounds)["temperature"])
    assert expected == by_the_pipeline(arrivals, limits.temperature_rules())


@settings(max_examples=300)
@given(steps_st, st.booleans())
def test_batteries(steps, in_order):
    arrivals = arrivals_of(steps, in_order=in_order)
    bounds = Bounds(delay_s=1800, hysteresis=3.0)
    limits, _ = read_limits(bounds.as_config())
    expected = by_the_oracle(arrivals, spells_of(bounds)["battery"])
    assert expected == by_the_pipeline(arrivals, limits.battery_rules())
