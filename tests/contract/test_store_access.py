"""Who is let in at Cassandra and Redis: our certificate and our password together, nothing less."""

import socket
import ssl
import zlib
from pathlib import Path

import pytest
from cassandra import AuthenticationFailed, Unauthorized
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster, NoHostAvailable
from redis import AuthenticationError, ConnectionError, Redis, ResponseError

from tests.support.certificates import BAD, client_certificate, client_context
from tests.support.servers import Servers

HOST = "127.0.0.1"
NO_ROLE = (None, None)
CASSANDRA_WRONG = {
    "nobody": NO_ROLE,
    "the built-in superuser": ("cassandra", "cassandra"),
    "a wrong password": ("qold", "wrong"),
    "an empty password": ("qold", ""),
    "an unknown role": ("somebody", "wrong"),
}

NO_NODE = {
    "a gateway's": ("gateway-1", "gateways"),
    "a service's": ("qold", "services"),
    "another server's": ("redis", "servers"),
    "one of the node's name": ("cassandra", "servers"),
}
FORBIDDEN = (
    ("CONFIG", "SET", "dir", "/"), ("CONFIG", "GET", "*"), ("FLUSHALL",), ("FLUSHDB",),
    ("SWAPDB", "0", "1"), ("SHUTDOWN",), ("KEYS", "*"), ("DEBUG", "SLEEP", "0"), ("MONITOR",),
    ("ACL", "LIST"), ("MODULE", "LOAD", "/x"), ("REPLICAOF", HOST, "1"), ("CLIENT", "LIST"),
    ("MIGRATE", HOST, "1", "k", "0", "1"), ("RESTORE", "k", "0", "x"), ("SAVE",), ("BGREWRITEAOF",),
    ("SCRIPT", "FLUSH"), ("SCRIPT", "KILL"), ("FUNCTION", "LOAD", "x"), ("FUNCTION", "FLUSH"),
)  # fmt: skip


def cassandra_cluster(port, context, user, password):
    login = PlainTextAuthProvider(user, password) if user else None
    return Cluster([HOST], port=port, protocol_version=5, ssl_context=context, auth_provider=login)


def causes(error):
    return list(error.errors.values())


@pytest.fixture
def our_context(servers, tmp_path):
    authority = servers.place.authority
    return client_context(authority, client_certificate("ours", authority, tmp_path))


@pytest.fixture
def log_in(cassandra, our_context):
    """A session of a role, with our certificate."""
    clusters = []

    def log_in(user, password):
        clusters.append(cassandra_cluster(cassandra.port, our_context, user, password))
        return clusters[-1].connect()

    yield log_in
    for cluster in clusters:
        cluster.shutdown()


@pytest.mark.parametrize("kind", BAD)
def test_cassandra_refuses_a_client_without_our_certificate(cassandra, servers, tmp_path, kind):
    authority = servers.place.authority
    context = client_context(authority, client_certificate(kind, authority, tmp_path))
    password = servers.place.password("cassandra")
    cluster = cassandra_cluster(cassandra.port, context, "qold", password)
    with pytest.raises(NoHostAvailable) as refused:
        cluster.connect()
    cluster.shutdown()
    assert not any(isinstance(cause, AuthenticationFailed) for cause in causes(refused.value))


@pytest.mark.parametrize("port_of", ["cassandra", "cassandra.storage", "redis"])
def test_no_port_of_a_store_speaks_without_tls(cassandra, redis, servers, port_of):
    """CQL's OPTIONS, the greeting between nodes (version 12), and PING."""
    words = {
        "cassandra": b"\x04\x00\x00\x00\x05\x00\x00\x00\x00",
        "cassandra.storage": b"\xca\x55\x2d\xfa\x0c\x0c\x08\x00" + bytes(16),
        "redis": b"PING\r\n",
    }
    with socket.create_connection((HOST, servers.place.port(port_of)), timeout=20) as plain:
        plain.sendall(words[port_of])
        try:
            answer = plain.recv(64)
        except ConnectionResetError:
            answer = b""
    assert answer == b"" or answer[0] == 0x15, "at most TLS's alert"


def greet_as_node(port, context):
    """The node's answer to the greeting of another node, of messaging version 12 and no other."""
    greeting = bytes.fromhex("ca552dfa 0c0c0c00 06 7f000001") + port.to_bytes(2)
    checksum = zlib.crc32(bytes.fromhex("fa2d55ca") + greeting)
    with (
        socket.create_connection((HOST, port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as connection,
    ):
        connection.sendall(greeting + checksum.to_bytes(4))
        return connection.recv(64)  # in TLS 1.3 a refusal follows the handshake


@pytest.mark.parametrize("kind", [*BAD, *NO_NODE])
def test_no_node_joins_without_the_nodes_certificate(cassandra, servers, tmp_path, kind):
    """Not with another of our authority either: no password is asked for between nodes."""
    authority = servers.place.authority
    if kind in NO_NODE:
        name, unit = NO_NODE[kind]
        own = authority.certificate(name, unit=unit, file=f"no-node-{unit}-{name}")
    else:
        own = client_certificate(kind, authority, tmp_path)
    with pytest.raises((ssl.SSLError, ConnectionResetError, BrokenPipeError)):
        greet_as_node(servers.place.port("cassandra.storage"), client_context(authority, own))


def test_a_node_is_accepted_with_the_nodes_certificate(cassandra, servers):
    authority = servers.place.authority
    own = authority.certificate("cassandra", unit="servers")
    port = servers.place.port("cassandra.storage")
    assert greet_as_node(port, client_context(authority, own))[:4] == b"\0\0\0\x0c"


@pytest.mark.parametrize("who", CASSANDRA_WRONG)
def test_cassandra_refuses_a_client_without_our_password(log_in, who):
    with pytest.raises(NoHostAvailable) as refused:
        log_in(*CASSANDRA_WRONG[who])
    assert all(isinstance(cause, AuthenticationFailed) for cause in causes(refused.value))


def test_a_role_of_cassandra_reaches_its_own_keyspaces_only(log_in, servers):
    ours = log_in("qold", servers.place.password("cassandra"))
    theirs = log_in("kairosdb", servers.place.password("cassandra.kairosdb"))
    replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    ours.execute(f"CREATE KEYSPACE IF NOT EXISTS fence WITH replication = {replication}")
    ours.execute("CREATE TABLE IF NOT EXISTS fence.t (id int PRIMARY KEY)")
    ours.execute("INSERT INTO fence.t (id) VALUES (1)")
    theirs.execute("CREATE TABLE IF NOT EXISTS kairosdb.probe (id int PRIMARY KEY)")
    for session, statement in (
        (theirs, "SELECT * FROM fence.t"),
        (theirs, "DROP KEYSPACE fence"),
        (ours, "SELECT * FROM kairosdb.probe"),
        (ours, "CREATE ROLE intruder WITH SUPERUSER = true"),
        (ours, "SELECT * FROM system_auth.roles"),
    ):
        with pytest.raises(Unauthorized):
            session.execute(statement)
    ours.execute("DROP KEYSPACE fence")


@pytest.fixture
def redis_client(redis, servers, tmp_path):
    """A client of Redis with a kind of certificate and a login."""

    def client(kind="ours", **login):
        authority = servers.place.authority
        certificate = client_certificate(kind, authority, tmp_path)
        files = (
            {"ssl_certfile": str(certificate.chain), "ssl_keyfile": str(certificate.key)}
            if certificate
            else {}
        )
        return Redis(
            HOST, redis.port, ssl=True, ssl_ca_certs=str(authority.ca), retry=None, **files, **login
        )

    return client


@pytest.mark.parametrize("kind", BAD)
def test_redis_refuses_a_client_without_our_certificate(redis_client, servers, kind):
    password = servers.place.password("redis")
    with (
        redis_client(kind, username="qold", password=password) as client,
        pytest.raises(ConnectionError),
    ):
        client.ping()


@pytest.mark.parametrize(
    "login",
    [
        {},
        {"password": "wrong"},
        {"username": "qold", "password": "wrong"},
        {"username": "somebody", "password": "wrong"},
    ],
    ids=["nobody", "the default user", "a wrong password", "an unknown user"],
)
def test_redis_refuses_a_client_without_our_password(redis_client, login):
    with redis_client(**login) as client, pytest.raises(AuthenticationError):
        client.ping()


def test_redis_lets_its_user_neither_change_it_nor_empty_it(redis_client, servers):
    with redis_client(username="qold", password=servers.place.password("redis")) as client:
        client.set("fence", "1")
        for words in FORBIDDEN:
            with pytest.raises(ResponseError, match=r"no permissions|not allowed"):
                client.execute_command(*words)
        client.delete("fence")


def test_both_answer_a_second_settling(cassandra, redis, servers: Servers):
    """`./qold up` settles at every start."""
    for server in (cassandra, redis):
        server.settle()
        assert server.is_ready()


def test_what_they_are_given_is_for_nobody_else_to_read(cassandra, redis, servers):
    place = servers.place
    secret = [*place.secrets.rglob("*"), *(place.state / "services").glob("*/*.yaml")]
    secret.append(place.folder("redis") / "redis.conf")
    assert {path: path.stat().st_mode & 0o077 for path in secret} == dict.fromkeys(secret, 0)
    passwords = [path.read_bytes() for path in place.secrets.glob("*.password")]
    for name in ("cassandra", "redis"):
        command = Path(f"/proc/{servers.pid(name)}/cmdline").read_bytes()
        assert not [password for password in passwords if password in command]
