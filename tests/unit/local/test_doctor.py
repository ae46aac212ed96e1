"""The doctor names what is missing, and the fix; it changes nothing."""

from local import doctor, tools
from local.status import ComponentStatus
from qold import wiring
from qold.clock import SystemClock
from qold.domain.model import Contact
from qold.keyring import ensure_keys
from qold.settings import Settings


def findings(folder):
    return {finding.name: finding for finding in doctor.examine(Settings.load(folder, {}))}


def test_a_folder_that_is_not_there_is_fine_and_stays_away(tmp_path):
    found = findings(tmp_path / "deep" / "var")
    stack = {tool.name for tool in tools.TOOLS}
    assert {finding.verdict for name, finding in found.items() if name not in stack} == {"ok"}
    assert "never started" in found["running"].detail
    assert list(tmp_path.iterdir()) == []


def test_secrets_that_others_may_read(tmp_path):
    ensure_keys(tmp_path / "secrets")
    assert findings(tmp_path)["secrets"].verdict == "ok"
    (tmp_path / "secrets" / "token-1.key").chmod(0o644)
    found = findings(tmp_path)["secrets"]
    assert found.verdict == "warning"
    assert found.fix == f"chmod 600 {tmp_path}/secrets/*"


def test_secrets_that_are_broken(tmp_path):
    ensure_keys(tmp_path / "secrets")
    (tmp_path / "secrets" / "token-1.key").write_text("not hexadecimal")
    found = findings(tmp_path)["secrets"]
    assert found.verdict == "missing"
    assert "token-1.key" in found.detail


def test_secrets_that_others_may_list(tmp_path):
    ensure_keys(tmp_path / "secrets")
    (tmp_path / "secrets").chmod(0o755)
    found = findings(tmp_path)["secrets"]
    assert (found.verdict, found.fix) == ("warning", f"chmod 700 {tmp_path}/secrets")


def test_packages_that_are_not_as_locked(tmp_path, monkeypatch):
    (tmp_path / "requirements").mkdir()
    lock = tmp_path / "requirements" / "qold.lock"
    lock.write_text("click==0.1 \\\n    --hash=sha256:00\nno-such-package==1.0\n")
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    found = findings(tmp_path)["packages"]
    assert found.verdict == "missing"
    assert "click 0.1, no-such-package 1.0" in found.detail


def test_a_disk_that_is_nearly_full(tmp_path, monkeypatch):
    usage = doctor.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage._replace(free=2**20))
    assert findings(tmp_path)["disk"].verdict == "missing"
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage._replace(free=2**31))
    found = findings(tmp_path)["disk"]
    assert (found.verdict, found.fix) == ("warning", "log_max_mb = 1024 in qold.toml")


def test_two_systems_that_send_sms(tmp_path, monkeypatch):
    """Only where both run, and where there is an old API."""
    (tmp_path / "up.lock").touch()
    monkeypatch.setattr(doctor, "supervisor_pid", lambda settings: 1)

    def warning(*names, **environ):
        ready = [ComponentStatus(name, is_ready=True) for name in names]
        monkeypatch.setattr(doctor, "statuses", lambda settings: ready)
        settings = Settings.load(tmp_path, environ)
        return {finding.name: finding.verdict for finding in doctor.examine(settings)}.get("SMS")

    url = {"QOLD_LEGACY_URL": "qold-hw-api+https://hw.example:443/readings"}
    assert warning("thresholds", "legacy", **url) == "warning"
    assert warning("thresholds", "legacy") is None
    assert warning("legacy", **url) is None
    assert warning("thresholds", **url) is None


def test_a_staff_that_nobody_has_named(tmp_path, monkeypatch):
    (tmp_path / "up.lock").touch()
    monkeypatch.setattr(doctor, "supervisor_pid", lambda settings: 1)
    ready = [ComponentStatus("thresholds", is_ready=True)]
    monkeypatch.setattr(doctor, "statuses", lambda settings: ready)
    assert findings(tmp_path)["staff"].verdict == "warning"
    assert findings(tmp_path)["staff"].fix.startswith("./qold contact staff --phone")
    (tmp_path / "qold.toml").write_text('fallback_phone = "+351911111111"\n', "utf-8")
    assert findings(tmp_path)["staff"].verdict == "ok"
    (tmp_path / "qold.toml").unlink()
    book = wiring.contact_book(Settings.load(tmp_path, {}), SystemClock())
    book.put_staff(Contact(phone="+351922222222"))
    book.close()
    assert "+351922222222" in findings(tmp_path)["staff"].detail


def test_tools_of_the_stack_are_named_with_what_provides_them(tmp_path, monkeypatch):
    """Missing altogether, or too old; a problem only for the profile that needs them."""
    monkeypatch.setenv("PATH", str(tmp_path))
    found = findings(tmp_path)
    assert found["Leiningen"].verdict == "warning"
    assert "install" in found["Leiningen"].fix
    assert found["Leiningen"].fix.endswith(" leiningen")
    assert found["virtualenv"].verdict == "warning"
    assert "test storm needs it" in found["virtualenv"].detail
    (tmp_path / "qold.toml").write_text('profile = "storage"\n', "utf-8")
    found = findings(tmp_path)
    assert found["nginx"].verdict == found["JDK 17"].verdict == "missing"
    assert found["Leiningen"].verdict == "warning"
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n", "ascii")
    java.chmod(0o755)
    assert "Java 11 is too old" in findings(tmp_path)["JDK 17"].detail
    java.write_text("#!/bin/sh\necho 'openjdk version \"21.0.1\"' >&2\n", "ascii")
    assert findings(tmp_path)["JDK 17"].verdict == "ok"
    java.write_text("#!/bin/sh\necho nonsense\n", "ascii")
    assert findings(tmp_path)["JDK 17"].verdict == "missing"
