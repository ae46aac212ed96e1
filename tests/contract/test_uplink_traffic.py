"""What the kernel counts on a connection, as `./qold bench uplink` reads it."""

import socket

from local.bench.full.uplink import HEADERS, traffic


def test_bytes_both_ways_are_counted_with_their_headers_and_of_this_port_only():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        port = server.getsockname()[1]
        assert traffic(port) == 0
        with (
            socket.create_connection(("127.0.0.1", port)) as client,
            socket.create_connection(("127.0.0.1", other.getsockname()[1])) as elsewhere,
        ):
            near, _ = server.accept()
            before = traffic(port)
            assert before >= 2 * HEADERS  # it was made
            client.sendall(bytes(5000))
            elsewhere.sendall(bytes(9000))
            received = b""
            while len(received) < 5000:
                received += near.recv(8192)
            near.sendall(bytes(300))
            assert client.recv(300, socket.MSG_WAITALL) == bytes(300)
            grown = traffic(port) - before
            near.close()
    assert 5300 < grown < 5300 + 40 * HEADERS
