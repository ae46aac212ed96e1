"""Ports, passwords and certificates of a state folder: chosen once, then kept, for nobody else."""

import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509

from local.services.place import Place
from qold.private_files import NotPrivate


def test_ports_differ_and_stay(tmp_path):
    place = Place(tmp_path)
    ports = [place.port(name) for name in ("kafka", "cassandra", "redis")]
    assert len(set(ports)) == 3
    assert [Place(tmp_path).port(name) for name in ("kafka", "cassandra", "redis")] == ports


def test_passwords_are_kept_where_nobody_else_reads(tmp_path):
    password = Place(tmp_path).password("redis")
    assert len(password) >= 24
    assert Place(tmp_path).password("redis") == password
    assert Place(tmp_path).password("cassandra") != password
    path = tmp_path / "secrets" / "redis.password"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_port_that_others_expect_is_taken_when_it_is_free(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert Place(tmp_path / "a").port("ui", prefer=port) != port
    assert Place(tmp_path / "b").port("ui", prefer=port) == port
    assert Place(tmp_path / "b").port("ui") == port


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077], ids=oct)
def test_under_each_umask_nobody_else_reads_secrets_or_writes_anything(tmp_path, mask):
    kept = os.umask(mask)
    try:
        place = Place(tmp_path / "deep" / "var")
        place.authority.certificate("qold", unit="services")
        place.password("redis")
        place.port("redis")
        place.folder("redis")
    finally:
        os.umask(kept)
    for path in tmp_path.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_secrets_that_were_open_to_others_are_closed(tmp_path):
    """As the full profile made the folder before."""
    for use in (lambda place: place.authority, lambda place: place.password("redis")):
        (tmp_path / "secrets").mkdir(exist_ok=True)
        (tmp_path / "secrets").chmod(0o755)
        use(Place(tmp_path))
        assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["redis.password", "certificates/qold.key", "certificates"])
def test_secrets_that_others_could_replace_are_refused(tmp_path, name):
    place = Place(tmp_path)
    place.authority.certificate("qold", unit="services")
    place.password("redis")
    path = place.secrets / name
    path.chmod(path.stat().st_mode | 0o022)

    def use():
        again = Place(tmp_path)
        again.password("redis")
        again.authority.certificate("qold", unit="services")

    with pytest.raises(NotPrivate, match="other users may write it"):
        use()


def test_those_who_ask_at_once_get_one_answer(tmp_path):
    """A password is never seen half written, no port goes to two, the authority has one key."""
    names = [f"server-{number}" for number in range(12)]

    def ask(number):
        place = Place(tmp_path)
        certificate = place.authority.certificate("qold", unit="services")
        chain = x509.load_pem_x509_certificates(certificate.chain.read_bytes())
        chain[0].verify_directly_issued_by(chain[1])
        return place.password("redis"), [place.port(name) for name in names[number % 4 :]]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert len({password for password, _ in answers}) == 1
    assert len(answers[0][0]) >= 24
    ports = [Place(tmp_path).port(name) for name in names]
    assert len(set(ports)) == len(names)
    assert all(given == ports[number % 4 :] for number, (_, given) in enumerate(answers))
