"""Who is let in, why somebody is not, and for how long an answer is believed."""

from hypothesis import given
from hypothesis import strategies as st

from qold.domain.credentials import Credential, CredentialCache, Keys, stored_form, token_digest

KEYS = Keys("2", {"1": b"a" * 32, "2": b"b" * 32})
NOW = 1_000_000


def refuse_to_be_slow(stored: str, token: str) -> bool:
    raise AssertionError("bcrypt must not be asked")


def cache_with(found, *, kind="device", verify=refuse_to_be_slow, **limits) -> CredentialCache:
    cache = CredentialCache(kind, KEYS, verify, **limits)
    cache.load(set(found), {k: v for k, v in found.items() if v}, now_ms=NOW)
    return cache


def credential(identity=1, token="789", *, kind="device", active=True, keys=KEYS) -> Credential:
    return Credential(stored_form(keys, kind, identity, token), active)


def test_a_digest_names_its_key_and_never_the_token():
    stored = credential(token="6408951951184615").auth
    assert stored.startswith("blake2b$2$")
    assert len(stored) == len("blake2b$2$") + 64
    assert "6408951951184615" not in stored


@given(st.integers(1, 2**31 - 1), st.integers(1, 2**53 - 1), st.integers(1, 2**53 - 1))
def test_only_the_right_token_of_the_right_device_is_let_in(identity, token, other):
    cache = cache_with({identity: credential(identity, str(token))})
    assert cache.judge(identity, str(token)) == ""
    expected = "" if other == token else "bad-device-token"
    assert cache.judge(identity, str(other)) == expected


def test_reasons_of_devices():
    """Bad input: unknown id, wrong token, empty token, another device's token, switched off."""
    cache = cache_with({1: credential(1), 2: credential(2, "55"), 3: credential(3, active=False)})
    assert cache.judge(9, "789") == "unknown-device"
    assert cache.judge(1, "788") == "bad-device-token"
    assert cache.judge(1, "") == "bad-device-token"
    assert cache.judge(1, "55") == "bad-device-token"
    assert cache.judge(3, "789") == "inactive"
    assert cache.judge(3, "788") == "bad-device-token"


def test_reasons_of_gateways():
    cache = cache_with(
        {1: credential(1, "ab", kind="gateway"), 2: credential(2, kind="gateway", active=False)},
        kind="gateway",
    )
    assert cache.judge(1, "ab") == ""
    assert cache.judge(1, "ba") == "bad-gateway-token"
    assert cache.judge(2, "789") == "inactive-gateway"
    assert cache.judge(7, "789") == "unknown-gateway"


def test_a_device_digest_is_no_gateway_digest():
    """Bad input: the row of a device copied into the gateways."""
    cache = cache_with({1: credential(1, "789", kind="device")}, kind="gateway")
    assert cache.judge(1, "789") == "bad-gateway-token"


def test_a_retired_key_still_verifies_and_a_lost_one_refuses():
    old = Keys("1", {"1": KEYS.by_id["1"]})
    lost = Keys("7", {"7": b"c" * 32})
    cache = cache_with({1: credential(1, keys=old), 2: credential(2, keys=lost)})
    assert cache.judge(1, "789") == ""
    assert cache.judge(2, "789") == "bad-device-token"


def test_answers_expire_unknown_ones_sooner():
    cache = cache_with({1: credential(1), 2: None})
    assert cache.missing([1, 2, 3], now_ms=NOW) == {3}
    assert cache.missing([1, 2], now_ms=NOW + 59_999) == set()
    assert cache.missing([1, 2], now_ms=NOW + 60_000) == {2}
    assert cache.missing([1, 2], now_ms=NOW + 600_000) == {1, 2}


def test_a_change_is_asked_for_again_also_a_negative_answer():
    cache = cache_with({1: credential(1), 2: None})
    cache.forget(1)
    cache.forget(2)
    cache.forget(99)
    assert cache.missing([1, 2], now_ms=NOW) == {1, 2}


def test_the_cache_is_bounded():
    cache = cache_with({i: credential(i) for i in range(1, 50)}, max_entries=10)
    assert len(cache) == 10
    assert cache.judge(49, "789") == ""


def test_bcrypt_is_asked_once_per_token():
    """An attacker who repeats wrong tokens must not make us hash slowly for each."""
    asked = []

    def verify(stored, token):
        asked.append(token)
        return token == "789"

    cache = cache_with({1: Credential("$2b$04$whatever", True)}, verify=verify)
    for token in ["789", "789", "1", "1", "2", "1", "789"]:
        assert (cache.judge(1, token) == "") is (token == "789")
    assert asked == ["789", "1", "2"]


def test_digest_for_showing_uses_the_active_key():
    cache = cache_with({1: credential(1)})
    assert cache.digest(1, "789") == "blake2b$2$" + token_digest(b"b" * 32, "device", 1, "789")
