"""Stands between a log and its only broker, and loses an answer to a write when told to."""

import asyncio
import ssl
import struct
import threading
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from pathlib import Path

from local.services.place import LOOPBACK, Place

PRODUCE = 0
STOP_S = 10.0
ENDS = (OSError, asyncio.IncompleteReadError)


class LostAnswers:
    """TLS on both sides, as a service towards the broker; what it listens at is `url`.

    One thread does it all: two that read and write one TLS connection at once would break it.
    """

    def __init__(self, url: str, state: Path) -> None:
        scheme, _, server = url.partition("://")
        authority = Place(state).authority
        own = authority.certificate("between", unit="brokers", hosts=(LOOPBACK,))
        shown = authority.certificate("qold", unit="services")
        self._inner = ssl.create_default_context(cafile=str(own.ca))
        self._inner.load_cert_chain(shown.chain, shown.key)
        self._outer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._outer.load_cert_chain(own.chain, own.key)
        self._broker_port = int(server.rpartition(":")[2])
        self._to_lose = 0
        self.lost = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._relay, LOOPBACK, 0, ssl=self._outer)
        )
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"{scheme}://{LOOPBACK}:{self._port}"

    def lose_next(self) -> None:
        """Break the connection in the place of the next answer to a write."""
        self._to_lose += 1

    def __enter__(self) -> "LostAnswers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(STOP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_S)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _relay(self, from_client: StreamReader, to_client: StreamWriter) -> None:
        to_broker = None
        with suppress(*ENDS, asyncio.CancelledError):
            from_broker, to_broker = await asyncio.open_connection(
                LOOPBACK, self._broker_port, ssl=self._inner
            )
            writes: set[bytes] = set()
            both = {
                asyncio.create_task(self._ask(from_client, to_broker, writes)),
                asyncio.create_task(self._answer(from_broker, to_client, writes)),
            }
            # Where one side ends, so does the other.
            _, others = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for other in others:
                other.cancel()
        for writer in (to_client, to_broker):
            if writer is not None:
                writer.transport.abort()

    async def _ask(self, client: StreamReader, broker: StreamWriter, writes: set[bytes]) -> None:
        with suppress(*ENDS):
            while frame := await _frame(client):
                (key,) = struct.unpack_from("!h", frame, 4)
                if key == PRODUCE and self._to_lose:
                    self._to_lose -= 1
                    writes.add(frame[8:12])
                broker.write(frame)
                await broker.drain()

    async def _answer(self, broker: StreamReader, client: StreamWriter, writes: set[bytes]) -> None:
        # Where the broker says that it is to be found.
        there, here = (
            LOOPBACK.encode() + struct.pack("!i", port) for port in (self._broker_port, self._port)
        )
        with suppress(*ENDS):
            while frame := await _frame(broker):
                if frame[4:8] in writes:
                    self.lost += 1
                    return
                client.write(frame.replace(there, here))
                await client.drain()


async def _frame(reader: StreamReader) -> bytes:
    """One request or answer with its length; raises `IncompleteReadError` at the end."""
    size = await reader.readexactly(4)
    return size + await reader.readexactly(struct.unpack("!i", size)[0])
