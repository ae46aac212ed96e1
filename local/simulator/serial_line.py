"""A serial line between devices and a gateway: a pseudo-terminal, raw before anybody opens it."""

import os
import tty

from qold.wire.frame import Ack
from qold.wire.reader import FrameReader

READ_BYTES = 65_536


class SerialLine:
    """The devices' end; `path` is what the gateway opens. Write only once it is open."""

    def __init__(self) -> None:
        self._devices_end, self._gateway_end = os.openpty()
        tty.setraw(self._gateway_end)
        os.set_blocking(self._devices_end, False)
        self.path = os.ttyname(self._gateway_end)
        self._waiting = bytearray()
        self._reader = FrameReader()

    @property
    def is_waiting(self) -> bool:
        """True while bytes have not been taken."""
        return bool(self._waiting)

    def send(self, data: bytes) -> None:
        """Put bytes on the line; what does not fit now goes with the next `exchange`."""
        self._waiting += data

    def exchange(self) -> list[Ack]:
        """Write what fits, and return the acks that have arrived."""
        if self._waiting:
            try:
                written = os.write(self._devices_end, self._waiting)
                del self._waiting[:written]
            except BlockingIOError:
                pass  # the gateway has not read yet
        try:
            data = os.read(self._devices_end, READ_BYTES)
        except BlockingIOError:
            return []
        return [frame for frame in self._reader.feed(data) if isinstance(frame, Ack)]

    def close(self) -> None:
        os.close(self._devices_end)
        os.close(self._gateway_end)
