"""`socket://`: a device server on the network instead of a serial port, and its end."""

import socket
from pathlib import Path

from gateway.input import Input
from local.simulator.clock import SimulatedClock
from qold.wire import FrameReader, encode
from tests.support.gateways import NOW_MS, PATIENCE, frame, gateway_settings


def test_frames_over_a_socket_until_it_closes_and_again(tmp_path: Path) -> None:
    clock = SimulatedClock(NOW_MS)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = f"socket://127.0.0.1:{server.getsockname()[1]}"
        component = Input(gateway_settings(tmp_path), clock, port=port)
        for sequence in range(2):
            component.step()
            device, _ = server.accept()
            with device:
                device.sendall(encode(frame(sequence=sequence)))
                for _ in range(PATIENCE):
                    if component.counters.acknowledged == sequence + 1:
                        break
                    component.wait(0.005)
                    component.step()
                assert FrameReader().feed(device.recv(100)) == [frame(sequence=sequence).ack()]
            for _ in range(PATIENCE):
                if not component._link.is_open:
                    break
                component.wait(0.005)
                component.step()
            assert not component._link.is_open
            clock.advance_to(clock.wall_ms() + 60_000)
        assert component.counters.readings == 2
        component.close()
