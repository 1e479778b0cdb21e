"""Stands in front of the gRPC server of one socket, so that no byte of a pod reaches gRPC unseen and unpaced.

Every connection is copied to and from the server, which listens where only this process can reach it. What breaks a
bound ends its connection. What is merely too fast is read no faster: a flood fills the buffers of whoever makes it.

Invariants: a direction of a connection holds at most _CHUNK bytes here; a socket costs the event loop no more than
RATE pays for; nobody waits for a peer that does not read but the connection that this peer is on.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from handler_service.http2_bounds import BrokenBoundError, Http2Bounds, Unfinished
from servicestatus import contract
from servicestatus.pacing import TokenBucket

#: Small, since what is in it is passed on before it is paid for: a kilobyte can hold a dozen calls.
_CHUNK: Final = 1024
#: Bytes that the kernel holds for a peer that does not read, by default ten times as many.
_SEND_BUFFER: Final = 16 * 1024
#: Connections at once and then one each so many seconds. An agent that is refused dials ten times a second at most.
_CONNECTION_BURST: Final = 16
_CONNECTION_INTERVAL: Final = 0.1
#: What a socket may spend (bytes, and see http2_bounds.py): at once, and in a second. A busy agent spends 2 KiB in a
#: second. What was spent at once is in gRPC's and Python's hands at once, where it takes several times the room.
BURST: Final = 32 * 1024
RATE: Final = 64 * 1024
#: Seconds that a debt lasts at most: when an enemy has left the pod, its agent is heard again.
LONGEST_DEBT: Final = 5.0


class Allowance:
    """What one socket may still spend."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._paid_until = float("-inf")

    def spend(self, cost: int) -> float:
        """Spend it; seconds to wait until that is paid for."""
        now = self._clock()
        paid_until = max(self._paid_until, now - BURST / RATE) + cost / RATE
        self._paid_until = min(paid_until, now + LONGEST_DEBT)
        return max(0.0, self._paid_until - now)


class Gate:
    """Carries the connections of one socket."""

    def __init__(
        self,
        listener: socket.socket,
        server: str,
        refused: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        """Take over `listener`. `server` is the path of the server's socket; `refused` hears why a connection ended."""
        self._listener = listener
        self._server = server
        self._refused = refused
        self._clock = clock
        self._allowance = Allowance(clock)
        self._unfinished = Unfinished()
        self._connections: set[asyncio.Task[None]] = set()
        listener.setblocking(False)
        self._accepting = asyncio.create_task(self._accept())

    async def close(self) -> None:
        """Listen no longer, and end all connections."""
        tasks = [self._accepting, *self._connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener.close()

    async def _accept(self) -> None:
        loop, bucket = asyncio.get_running_loop(), TokenBucket(_CONNECTION_BURST, _CONNECTION_INTERVAL)
        while True:
            if not bucket.take(self._clock()):
                await asyncio.sleep(bucket.ready_at(self._clock()) - self._clock())
                continue
            try:
                client, _ = await loop.sock_accept(self._listener)
            except OSError:  # no more open files, or the peer was quick to leave; the bucket paces the next try
                continue
            if len(self._connections) >= contract.MAX_CONNECTIONS:
                client.close()
                self._refused("too many connections")
                continue
            task = asyncio.create_task(self._carry(client))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _carry(self, client: socket.socket) -> None:
        bounds = Http2Bounds(self._unfinished)
        with client, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as server:
            try:
                for one in (client, server):
                    one.setblocking(False)
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
                await asyncio.get_running_loop().sock_connect(server, self._server)
                await self._both_ways(client, server, bounds)
            except BrokenBoundError as error:
                self._refused(str(error))
            except OSError:
                pass  # either end is gone
            finally:
                bounds.close()

    async def _both_ways(self, client: socket.socket, server: socket.socket, bounds: Http2Bounds) -> None:
        """Until either end closes. A half-closed connection has no meaning in HTTP/2."""
        ways = [asyncio.create_task(self._upwards(client, server, bounds)), asyncio.create_task(_copy(server, client))]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in done:
                way.result()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _upwards(self, client: socket.socket, server: socket.socket, bounds: Http2Bounds) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(client, _CHUNK):
            wait = self._allowance.spend(bounds.take(data))
            await loop.sock_sendall(server, data)
            # Also without a debt: a read that finds its bytes at once lets nobody else have a turn.
            await asyncio.sleep(wait)


async def _copy(source: socket.socket, target: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, _CHUNK):
        await loop.sock_sendall(target, data)
