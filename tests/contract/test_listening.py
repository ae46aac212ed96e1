"""Sockets that the processes of a tree listen on; real ones, of this process and of one below it."""

import os
import socket
import subprocess
import sys

import pytest

from cli.errors import FAILED, Failure
from cli.up import refuse_open_sockets
from local.services.listening import beyond_loopback, listeners

CHILD = """
import socket, sys
listener = socket.create_server(("0.0.0.0", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


def open_socket(family, kind, address):
    found = socket.socket(family, kind)
    if family == socket.AF_INET6:
        found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != "::ffff:127.0.0.1")
    found.bind((address, 0))
    if kind == socket.SOCK_STREAM:
        found.listen()
    return found


@pytest.mark.parametrize(
    ("family", "kind", "address", "protocol", "is_open"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, "0.0.0.0", "tcp", True),  # noqa: S104  # the test's point
        (socket.AF_INET, socket.SOCK_DGRAM, "0.0.0.0", "udp", True),  # noqa: S104  # the test's point
        (socket.AF_INET6, socket.SOCK_STREAM, "::", "tcp", True),
        (socket.AF_INET6, socket.SOCK_DGRAM, "::", "udp", True),
        (socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1", "tcp", False),
        (socket.AF_INET, socket.SOCK_STREAM, "127.0.0.2", "tcp", False),
        (socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1", "udp", False),
        (socket.AF_INET6, socket.SOCK_STREAM, "::1", "tcp", False),
        (socket.AF_INET6, socket.SOCK_STREAM, "::ffff:127.0.0.1", "tcp", False),  # as Java's
    ],
)
def test_a_socket_is_found_with_its_address(family, kind, address, protocol, is_open):
    before = set(listeners(os.getpid()))
    with open_socket(family, kind, address) as own:
        (found,) = set(listeners(os.getpid())) - before
        assert (found.protocol, found.address) == (protocol, address)
        assert (found.port, found.pid) == (own.getsockname()[1], os.getpid())
        assert found.is_beyond_loopback is is_open
        assert (found in beyond_loopback(os.getpid())) is is_open
    assert set(listeners(os.getpid())) == before


def test_what_only_connects_out_is_none():
    before = listeners(os.getpid())
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        datagrams.connect(("127.0.0.1", 9))
        assert len(listeners(os.getpid())) == len(before) + 1


def test_up_refuses_to_be_ready_while_a_process_of_its_tree_is_open_to_the_network():
    """And is content with the same tree without it, and with an open one that is not its own."""
    refuse_open_sockets(os.getpid())
    command = [sys.executable, "-c", CHILD]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        port = int(child.stdout.readline())
        with pytest.raises(Failure, match=f"process {child.pid}.* 0.0.0.0 port {port}") as caught:
            refuse_open_sockets(os.getpid())
        assert caught.value.exit_code == FAILED
        with subprocess.Popen(["sleep", "600"]) as beside:
            refuse_open_sockets(beside.pid)
            beside.kill()
        child.stdin.close()
    refuse_open_sockets(os.getpid())
