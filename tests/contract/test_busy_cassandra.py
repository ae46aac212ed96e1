"""A Cassandra that is too busy to answer for seconds: who connects to it waits, instead of failing."""

import pytest

from qold.adapters.cassandra_session import CassandraSession
from tests.support.pausing_relay import LOOPBACK, PausingRelay

PAUSE_S = 3  # longer than the 2 s after which the driver gives up on a question of its own


@pytest.mark.parametrize("after_bytes", [8_000, 32_000])
def test_who_connects_waits_for_the_schema(cassandra, servers, after_bytes):
    with PausingRelay(cassandra.port, after_bytes=after_bytes, pause_s=PAUSE_S) as relay:
        session = CassandraSession([LOOPBACK], relay.port, "busy", "raw", servers.place.secrets)
        session.ping()
        session.close()
    assert relay.pauses >= 1
