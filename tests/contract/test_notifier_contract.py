"""What every Notifier promises: a message is told once under its id, or it is said why not."""

import json
import logging
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.simulator.clock import SimulatedClock
from qold import wiring
from qold.adapters.notifier.console import ConsoleNotifier
from qold.adapters.notifier.file import FileNotifier
from qold.adapters.notifier.http import HttpNotifier
from qold.ports import Rejected, Unavailable
from qold.settings import Settings, SettingsError
from tests.support.services import away, impatient, patient

ANA, QOLD = "+351911111111", "+351922222222"
TEXT = "Frigorífico 3: 9.5 C, acima de 8 C desde 14:05. €{}\"'"
NOW_MS = 1_795_456_000_123


class Console:
    def __init__(self, caplog):
        self.notifier, self.caplog = ConsoleNotifier(), caplog

    def told(self):
        return [r.args for r in self.caplog.records if r.name.endswith("notifier.console")]


class File:
    def __init__(self, tmp_path):
        self.path = tmp_path / "deep" / "notifications.jsonl"
        self.notifier = FileNotifier(self.path, SimulatedClock(NOW_MS))

    def told(self):
        lines = self.path.read_text("utf-8").splitlines() if self.path.exists() else []
        return [(row["id"], row["to"], row["text"]) for row in map(json.loads, lines)]


class QoldSms:
    def __init__(self, stand_in):
        self.stand_in = stand_in
        self.notifier = HttpNotifier(patient(stand_in))

    def told(self):
        return list(self.stand_in.handed.sms.values())


@pytest.fixture(params=["console", "file", "http"])
def site(request, tmp_path, stand_in, caplog):
    site = {
        "console": lambda: Console(caplog),
        "file": lambda: File(tmp_path),
        "http": lambda: QoldSms(stand_in),
    }[request.param]()
    yield site
    site.notifier.close()


def send(notifier, message_id="a1", to=ANA, text=TEXT):
    notifier.send(message_id=message_id, to=to, text=text)


def test_what_is_sent_is_told_whole_and_in_order(site):
    site.notifier.ping()
    send(site.notifier, "a1")
    send(site.notifier, "a2", QOLD, "second")
    assert site.told() == [("a1", ANA, TEXT), ("a2", QOLD, "second")]


def test_an_id_is_told_once_however_often_it_is_sent(site):
    for text in (TEXT, TEXT, "another text for the same id"):
        send(site.notifier, "a1", text=text)
    site.notifier.close()
    send(site.notifier, "a1")
    assert site.told() == [("a1", ANA, TEXT)]


@pytest.mark.parametrize("to", ["", "911111111", "Ana", "+1", "+351911111111\n", "+351911111111/x"])
def test_who_cannot_be_reached_is_refused(site, to):
    with pytest.raises(Rejected) as refusal:
        send(site.notifier, to=to)
    assert refusal.value.reason == "bad-phone"
    assert site.told() == []


def test_the_console_is_not_stdout(capfd):
    """Storm's protocol runs on stdout; without any configuration logging writes to stderr."""
    told = logging.getLogger("qold.adapters.notifier.console")
    handler = logging.StreamHandler(sys.stderr)
    told.addHandler(handler)
    send(ConsoleNotifier(), text="one\ntwo")
    told.removeHandler(handler)
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "message=a1 to=+351911111111 text=one two\n"


def test_the_file_says_when_and_only_its_owner_reads_it(tmp_path):
    site = File(tmp_path)
    send(site.notifier)
    (row,) = map(json.loads, site.path.read_text("utf-8").splitlines())
    assert row["time"] == "2026-11-23T17:46:40.123000+00:00"
    assert stat.S_IMODE(site.path.stat().st_mode) == 0o600


def test_the_file_keeps_ids_over_restarts_and_beside_other_writers(tmp_path):
    sites = [File(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        jobs = [threads.submit(send, site.notifier, f"a{n}") for site in sites for n in range(10)]
        for job in jobs:
            job.result()
    assert sorted(row[0] for row in File(tmp_path).told()) == sorted(f"a{n}" for n in range(10))
    send(File(tmp_path).notifier, "a3")
    assert len(File(tmp_path).told()) == 10


def test_what_a_crash_left_of_a_line_does_not_count_as_told(tmp_path):
    """Half a line, half a character, bytes that are no text, and a whole line of somebody else."""
    whole = json.dumps({"id": "a1", "to": ANA, "text": TEXT, "time": ""}).encode()
    for torn in (whole, whole[:7], b"\xc3", b"\x00" * 64, b"{"):
        site = File(tmp_path)
        site.path.parent.mkdir(exist_ok=True)
        site.path.write_bytes(b'"not ours"\nnot json\n[]\n\xff\n' + torn)
        send(site.notifier)
        lines = site.path.read_bytes().split(b"\n")
        assert lines[:4] == [b'"not ours"', b"not json", b"[]", b"\xff"]
        assert json.loads(lines[4])["id"] == "a1"
        assert lines[5:] == [b""]
        site.path.unlink()


def test_a_file_that_was_rotated_is_begun_again(tmp_path):
    site = File(tmp_path)
    for message_id in ("a1", "a2"):
        send(site.notifier, message_id)
    site.path.rename(tmp_path / "old.jsonl")
    send(site.notifier, "a3")
    assert [row[0] for row in site.told()] == ["a3"]
    site.path.write_bytes(b"")
    send(site.notifier, "a3")
    assert [row[0] for row in site.told()] == ["a3"]


def test_a_file_that_cannot_be_written_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "n.jsonl", tmp_path / "folder"):
        notifier = FileNotifier(path, SimulatedClock(NOW_MS))
        with pytest.raises(Unavailable):
            send(notifier)


@pytest.mark.parametrize(("way", "how"), away())
def test_a_service_that_is_away_is_unavailable_and_tells_each_id_once(stand_in, way, how):
    notifier = HttpNotifier(impatient(stand_in))
    stand_in.behave("qold-sms", way, **how)
    with pytest.raises(Unavailable):
        send(notifier)
    assert stand_in.requests == 1, "the adapter tried again by itself"
    stand_in.behave("qold-sms", "well")
    HttpNotifier(patient(stand_in)).send(message_id="a1", to=ANA, text=TEXT)
    assert list(stand_in.handed.sms.values()) == [("a1", ANA, TEXT)]
    taken = way in ("silent", "cut", "trickle", "trickle-body")
    assert stand_in.handed.repeats["qold-sms"] == taken


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_what_the_service_refuses_is_rejected_with_its_words(stand_in, status):
    stand_in.behave("qold-sms", "status", status=status)
    with pytest.raises(Rejected, match="told to") as refusal:
        send(HttpNotifier(patient(stand_in)))
    assert refusal.value.reason == f"http-{status}"


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405])
def test_no_alert_is_lost_to_a_wrong_address_or_credential(stand_in, status):
    stand_in.behave("qold-sms", "status", status=status)
    with pytest.raises(Unavailable):
        send(HttpNotifier(patient(stand_in)))


def test_a_slow_service_and_a_closed_port(stand_in):
    notifier = HttpNotifier(patient(stand_in))
    stand_in.behave("qold-sms", "slow")
    send(notifier, "a1")
    stand_in.stop()
    with pytest.raises(Unavailable):
        send(notifier, "a2")
    stand_in.start()
    stand_in.behave("qold-sms", "well")
    send(notifier, "a2")
    assert [sms.id for sms in stand_in.handed.sms.values()] == ["a1", "a2"]


def test_without_apprise_the_error_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    monkeypatch.delitem(sys.modules, "qold.adapters.notifier.apprise", raising=False)
    settings = Settings.load(tmp_path, {"QOLD_NOTIFIER_URL": "apprise:apprise.urls"})
    with pytest.raises(SettingsError, match="pip install apprise"):
        wiring.notifier(settings, SimulatedClock(NOW_MS))


class Providers:
    """As much of the package apprise as the adapter uses; `well` is what sending returns."""

    well = True
    sent: list = []

    def __init__(self):
        self.urls = []

    def add(self, url):
        self.urls.append(url)
        return "://" in url

    def __len__(self):
        return len(self.urls)

    def notify(self, *, body):
        self.sent.extend((url, body) for url in self.urls)
        return self.well


@pytest.fixture
def apprise(tmp_path, monkeypatch):
    module = type(sys)("apprise")
    module.Apprise = type("Apprise", (Providers,), {"sent": []})
    monkeypatch.setitem(sys.modules, "apprise", module)
    monkeypatch.delitem(sys.modules, "qold.adapters.notifier.apprise", raising=False)
    settings = Settings.load(tmp_path, {"QOLD_NOTIFIER_URL": "apprise:apprise.urls"})
    settings.secrets_dir.mkdir()
    module.urls = settings.secrets_dir / "apprise.urls"
    module.notifier = wiring.notifier(settings, SimulatedClock(NOW_MS))
    yield module
    sys.modules.pop("qold.adapters.notifier.apprise", None)


def test_apprise_sends_to_every_url_once_an_id(apprise):
    apprise.urls.write_text("# phones\nsms://key@gate/{to}\n\ntwilio://a:b@c/{to}\n")
    apprise.notifier.ping()
    for message_id in ("a1", "a1", "a2"):
        send(apprise.notifier, message_id, text="hello")
    urls = ["sms://key@gate/%2B351911111111", "twilio://a:b@c/%2B351911111111"]
    assert apprise.Apprise.sent == [(url, "hello") for url in urls * 2]
    with pytest.raises(Rejected):
        send(apprise.notifier, "a3", to="+351911111111/../x")


def test_what_apprise_cannot_send_is_unavailable_and_names_no_secret(apprise):
    for content in (None, "", "# nothing\n", "no url {to}\n", "sms://secret@gate/\n"):
        if content is not None:
            apprise.urls.write_text(content)
        with pytest.raises(Unavailable) as away:
            send(apprise.notifier)
        assert "secret@" not in str(away.value)
    apprise.urls.write_text("sms://key@gate/{to}\n")
    apprise.Apprise.well = False
    with pytest.raises(Unavailable):
        send(apprise.notifier)
    apprise.Apprise.well = True
    send(apprise.notifier)
    assert len(apprise.Apprise.sent) == 2
    assert os.path.exists(apprise.urls)
