"""URLs of who is told: what they choose by default, and which are refused with the way out."""

import pytest

from local.simulator.clock import SimulatedClock
from qold import wiring
from qold.settings import Settings, SettingsError

CLOCK = SimulatedClock(1_795_456_000_000)


def load(tmp_path, **settings):
    return Settings.load(tmp_path, {f"QOLD_{k.upper()}": v for k, v in settings.items()})


def test_the_defaults_need_no_service(tmp_path):
    settings = load(tmp_path)
    names = [
        type(connect(settings, CLOCK)).__name__
        for connect in (wiring.directory, wiring.notifier, wiring.analytics, wiring.legacy_api)
    ]
    assert names == ["SqliteDirectory", "ConsoleNotifier", "FileAnalytics", "NoLegacyApi"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tls", ["", "s"])
def test_a_scheme_names_its_service_and_its_transport(tmp_path, tls):
    settings = load(
        tmp_path,
        directory_url=f"qold-app+http{tls}://app.example:8080/api",
        notifier_url=f"qold-sms+http{tls}://[::1]:9",
        analytics_url=f"keen+http{tls}://api.keen.io/3.0/projects/1",
        legacy_url=f"qold-hw-api+http{tls}://hw.example/messages",
    )
    for connect in (wiring.directory, wiring.notifier, wiring.analytics, wiring.legacy_api):
        connect(settings, CLOCK).close()


@pytest.mark.parametrize(
    "rest",
    ["", "//", "//:80", "//s3cret@host", "//host?key=s3cret", "//host#s3cret", "//host:port",
     "//host:0", "//host:99999", "/path", "//@host"],
)  # fmt: skip
def test_a_url_that_holds_more_or_less_than_an_address_is_refused_unquoted(tmp_path, rest):
    settings = load(tmp_path, notifier_url=f"qold-sms+https:{rest}")
    with pytest.raises(SettingsError, match=r"secrets/qold-sms\.credential") as refusal:
        wiring.notifier(settings, CLOCK)
    assert "s3cret" not in str(refusal.value)


def test_a_password_in_a_url_is_refused_when_settings_are_read(tmp_path):
    with pytest.raises(SettingsError, match="may not hold a password") as refusal:
        load(tmp_path, legacy_url="qold-hw-api+https://user:s3cret@host/messages")
    assert "s3cret" not in str(refusal.value)


def test_an_unknown_technology_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(SettingsError, match=r"console, file, qold-sms\+http, qold-sms\+https"):
        wiring.notifier(load(tmp_path, notifier_url="pigeon:"), CLOCK)


def test_somebody_elses_directory_is_not_ours_to_write(tmp_path):
    with pytest.raises(SettingsError, match="directory_url"):
        wiring.contact_book(load(tmp_path, directory_url="qold-app+http://host"), CLOCK)


def test_a_legacy_body_that_is_no_json_names_the_setting(tmp_path):
    settings = load(tmp_path, legacy_url="qold-hw-api+http://host", legacy_body="id=$id")
    with pytest.raises(SettingsError, match="legacy_body"):
        wiring.legacy_api(settings, CLOCK)


@pytest.mark.parametrize("phone", ["351911111111", "+0", "+35191111111a", "nobody", "+" + "1" * 16])
def test_a_fallback_that_cannot_be_dialled_is_refused_where_it_is_set(tmp_path, phone):
    with pytest.raises(SettingsError, match="fallback_phone"):
        load(tmp_path, fallback_phone=phone)


def test_a_time_zone_that_is_none_is_refused_where_it_is_set(tmp_path):
    with pytest.raises(SettingsError, match="timezone"):
        load(tmp_path, timezone="Lisbon")
    assert str(load(tmp_path, timezone="Europe/Lisbon").zone) == "Europe/Lisbon"
