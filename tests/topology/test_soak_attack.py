"""The soak's verdict on an attack: honest refusals are all there, and the attack is within its bounds."""

import pytest

from local.soak.gauges import COMPONENT_MB, Figures, most_refusals
from local.soak.page import figures, page, verdict
from local.soak.soak import Injection, Outcome
from qold.settings import Settings
from tests.support.soaked import REPORTS, Soaked

BUDGET = 100
FLOODED = 2 * BUDGET


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """Honest reports while a gateway floods, whose budgets end soon; and one poisonous record."""
    environ = {"QOLD_REJECTIONS_PER_HOUR": str(BUDGET)}
    attacked = Soaked(tmp_path_factory.mktemp("attacked"), environ=environ)
    topic, log = attacked.settings.reports_topic, attacked.log
    attacked.send(REPORTS // 2)
    at_s = attacked.clock.wall_ms() // 1000
    attack = attacked.traffic.attacked(attacked.settings)
    attack.since_s = at_s
    own, victim = str(attack.gateway.id), str(attack.victim.id)
    log.append(topic, [(own, attack.empty_batches()), (own, attack.malformed(at_s))])
    log.append(topic, [(victim, attack.false_claim(at_s))] * FLOODED)
    log.append(topic, [(own, attack.wrong_tokens(at_s))])
    attacked.send(REPORTS // 2)
    before = log.offsets(topic)
    log.append(topic, [("7", b"[" * 2_000_000)])
    (partition,) = [p for p, end in log.offsets(topic).items() if end != before[p]]
    attack.poison[f"{topic}:{partition}:{before[partition].next}"] = "malformed"
    attacked.work(tick_ms=60_000)
    return attacked


def test_what_a_flood_is_refused_for_is_expected_and_displaces_no_honest_refusal(attacked):
    findings = attacked.findings()
    assert findings.is_exact, findings.examples
    assert findings.hostile["oversized"] == 1
    assert findings.hostile["malformed"] == 2
    assert findings.hostile["bad-gateway-token"] <= BUDGET
    assert findings.hostile["bad-device-token"] == BUDGET - 2
    assert findings.hostile["over-budget"] > 0
    displaceable = attacked.traffic.attack.displaceable(attacked.traffic.refused)
    assert findings.refused >= len(attacked.traffic.refused) - len(displaceable)


FIRST_HONEST = "(SELECT min(id) FROM records WHERE CAST(value AS TEXT) LIKE '%\"unknown-device\"%')"
# What is done to the refusals beside a flood, and what is then found: missing, unexpected.
DISPLACED = {
    "an honest refusal is displaced": (
        "DELETE FROM records WHERE id = {honest}",
        (1, 0),
    ),
    "an honest reading is refused that should not be": (
        "UPDATE records SET value = replace(CAST(value AS TEXT), '\"time\":', '\"time\":9')"
        " WHERE id = {honest}",
        (1, 1),
    ),
    "an honest gateway is over its budget": (
        "UPDATE records SET value = replace(CAST(value AS TEXT), '\"gateway\":{attacker}',"
        " '\"gateway\":1') WHERE CAST(value AS TEXT) LIKE '%over-budget%\"proven\":true%'",
        (0, 1),
    ),
    "a refusal of the attack is of a foreign kind": (
        "UPDATE records SET value = replace(CAST(value AS TEXT), 'oversized', 'inactive')"
        ' WHERE CAST(value AS TEXT) LIKE \'%"reason":"oversized%\'',
        (0, 1),
    ),
    "poison leaves nothing": (
        "DELETE FROM records WHERE CAST(value AS TEXT) LIKE '%\"length\":2000000%'",
        (1, 0),
    ),
    "poison is refused for another reason": (
        "UPDATE records SET value = replace(CAST(value AS TEXT), '\"malformed\"', '\"oversized\"')"
        " WHERE CAST(value AS TEXT) LIKE '%\"length\":2000000%'",
        (1, 1),
    ),
}


@pytest.mark.parametrize("damage", DISPLACED)
def test_what_a_flood_did_to_honest_refusals_is_found(attacked, damage):
    statement, expected = DISPLACED[damage]
    attacker = attacked.traffic.attack.gateway.id
    with attacked.changed("log") as file:
        changed = file.execute(
            statement.replace("{attacker}", str(attacker)).replace("{honest}", FIRST_HONEST)
        ).rowcount
        file.commit()
        findings = attacked.findings()
    assert changed == 1
    assert (findings.missing, findings.unexpected) == expected, findings.examples
    assert attacked.findings().is_exact


def test_a_refusal_that_proves_no_token_may_be_displaced_only_where_a_record_counts_it(attacked):
    """The victim with a wrong token cannot be told from the attacker."""
    traffic, attack = attacked.traffic, attacked.traffic.attack
    displaced = min(traffic.refused)._replace(
        reason="bad-gateway-token", gateway_id=attack.victim.id, at_s=attack.since_s
    )
    traffic.refused.add(displaced)
    assert attacked.findings().is_exact
    with attacked.changed("log") as file:
        file.execute(
            "DELETE FROM records WHERE CAST(value AS TEXT) LIKE '%over-budget%\"proven\":false%'"
        )
        file.commit()
        findings = attacked.findings()
    traffic.refused.remove(displaced)
    assert findings.missing > 0


def test_figures_of_an_attack_are_on_the_page_and_have_bounds():
    outcome = Outcome(seed=1, rate=60)
    found = Figures(taken=30, refused=14, component="LogSpout", component_mb=90, rejected=5)
    found.rejected_most = 5
    outcome.injections.append(Injection("poison", "", 0, 0, 2.0, 9.0, found, found.exceeded()))
    assert outcome.is_met
    (row,) = [line for line in figures(outcome.injections).splitlines() if " poison " in line]
    assert all(f" {cell} " in row for cell in ("30", "14", "90 MiB (LogSpout)"))
    assert row in page("", outcome, "./qold soak", "a machine")
    assert figures([Injection("redis-kill", "", 0, 0, 2.0, 9.0)]) == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"component_mb": COMPONENT_MB + 1},
        {"worker_mb": 10_000},
        {"log_mb": 2_000.0},
        {"rejected": 6},
        {"rejected_bytes": 5 * 512 + 1},
    ],
)
def test_a_bound_that_an_attack_exceeds_is_not_met(changes):
    outcome = Outcome(seed=1, rate=60)
    found = Figures(component="LogSpout", rejected_most=5, **changes)
    outcome.injections.append(Injection("flood", "", 0, 0, 2.0, 9.0, found, found.exceeded()))
    assert len(outcome.injections[0].exceeded) == 1
    assert not outcome.is_met
    assert outcome.injections[0].exceeded[0] in verdict(outcome)


def test_an_attack_over_the_turn_of_an_hour_has_the_budgets_of_both(tmp_path):
    settings, hour_ms = Settings.load(tmp_path, {}), 3_600_000
    once = most_refusals(settings, 0, hour_ms - 1)
    assert once > 2 * settings.rejections_per_hour
    assert most_refusals(settings, hour_ms - 1, hour_ms) == 2 * once
