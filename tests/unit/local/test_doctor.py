"""The doctor names what is missing, and the fix; it changes nothing."""

from local import doctor
from qold.keyring import ensure_keys
from qold.settings import Settings


def findings(folder):
    return {finding.name: finding for finding in doctor.examine(Settings.load(folder, {}))}


def test_a_folder_that_is_not_there_is_fine_and_stays_away(tmp_path):
    found = findings(tmp_path / "deep" / "var")
    assert {finding.verdict for finding in found.values()} == {"ok"}
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


def test_a_state_folder_that_others_may_write(tmp_path):
    tmp_path.chmod(0o777)
    found = findings(tmp_path)["state folder"]
    assert (found.verdict, found.fix) == ("warning", f"chmod go-w {tmp_path}")


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
