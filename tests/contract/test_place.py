"""Ports and passwords of a state folder: chosen once, then kept."""

import socket
import stat

from local.services.place import Place


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
