"""Copies each connection of one socket to the gRPC server behind it, and enforces limits and a rate on the way.

The server listens on a socket that only this process can reach, so every byte of a pod is checked before gRPC reads it.
A connection that exceeds a limit is closed. A peer that sends too fast is read at the permitted rate, so a flood fills
the buffers of its sender only. A new connection has its charge too: one for each call is no cheaper than a kept one.

Invariants: a direction of a connection holds at most _CHUNK bytes here; these are paid for before gRPC gets them; a
socket's debt is at most MAX_CONNECTIONS * MOST_AT_ONCE and one connection, so it ends some seconds after a flood; a
peer that stops reading blocks only its own connection.

The code uses plain callbacks of the event loop, because every message of every VM passes here. A task that awaits each
read and each write costs several times as much (docs/performance.md).
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from handler_service.endpoints.allowance import ACCEPT_COST, CONNECTION_COST, MOST_AT_ONCE, READ_COST, Allowance
from handler_service.endpoints.http2_limits import Http2Limits, LimitExceededError, Unfinished
from servicestatus import contract
from servicestatus.clock import Clock

#: Bytes of one read. Small, because it is held until it is paid for.
_CHUNK: Final = 1024
#: Bytes that the kernel buffers for a peer that does not read. The default is ten times as many.
_SEND_BUFFER: Final = 16 * 1024


class Http2Proxy:
    """Carries the connections of one socket."""

    def __init__(self, listener: socket.socket, server: str, refused: Callable[[str], None], clock: Clock) -> None:
        """Own `listener`. `server` is the path of the server's socket. `refused` gets the reason of each rejection."""
        self._listener = listener
        self._server = server
        self._refused = refused
        self._clock = clock
        self._allowance = Allowance(clock)
        self._unfinished = Unfinished()
        self._connections: set[_Connection] = set()
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Stop listening and end all connections; a second call does nothing."""
        if self._listener.fileno() < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for connection in list(self._connections):
            connection.close()

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._pay)

    def _pay(self) -> None:
        """Pay for a connection, and then accept it."""
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(self._allowance.spend(ACCEPT_COST), self._accept)

    def _accept(self) -> None:
        self._listen()
        try:
            client, _ = self._listener.accept()
        except OSError:  # no more open files, or the peer has hung up; it is paid for
            return
        if len(self._connections) < contract.MAX_CONNECTIONS:
            self._carry(client)
        else:
            client.close()
            self._refused("too many connections")

    def _carry(self, client: socket.socket) -> None:
        try:
            server = _dial(self._server)
        except OSError:
            client.close()
            return
        connection = _Connection(client, server, self._allowance, Http2Limits(self._unfinished), self._forget)
        self._connections.add(connection)
        connection.start(self._allowance.spend(CONNECTION_COST))

    def _forget(self, connection: "_Connection", reason: str) -> None:
        self._connections.discard(connection)
        if reason:
            self._refused(reason)


class _Connection:
    """Pairs a client with the server. When either end closes, both close: HTTP/2 has no half-closed connections."""

    __slots__ = ("_allowance", "_bounds", "_client", "_directions", "_ended", "_server")

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        allowance: Allowance,
        bounds: Http2Limits,
        ended: Callable[["_Connection", str], None],
    ) -> None:
        """Own both sockets. `ended` is called with the limit that was exceeded, or with "" after an ordinary end."""
        self._client = _prepared(client)
        self._server = server
        self._allowance = allowance
        self._bounds = bounds
        self._ended = ended
        loop = asyncio.get_running_loop()
        self._directions = (
            _Direction(loop, client, server, self._charge, self._end),
            _Direction(loop, server, client, _free, self._end),
        )

    def start(self, wait: float) -> None:
        """Copy; the client is read first after `wait` seconds."""
        client, server = self._directions
        client.start_after(wait)
        server.start()

    def close(self) -> None:
        self._end("")

    def _charge(self, data: bytes) -> float:
        cost = self._bounds.take(data) + READ_COST
        if cost > MOST_AT_ONCE:
            raise LimitExceededError("too many calls at once")
        return self._allowance.spend(cost)

    def _end(self, reason: str) -> None:
        for direction in self._directions:
            direction.stop()
        self._client.close()
        self._server.close()
        self._bounds.close()
        self._ended(self, reason)


class _Direction:
    """Copies one direction of a connection. A chunk is paid for and forwarded before the next one is read.

    The source is removed from the selector while its chunk waits, because the selector would report it in every turn
    of the loop. A flood or an end in the meantime is noticed at the next read.
    """

    __slots__ = ("_charge", "_end", "_loop", "_pause", "_rest", "_source", "_target")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: socket.socket,
        target: socket.socket,
        charge: Callable[[bytes], float],
        end: Callable[[str], None],
    ) -> None:
        """`charge` returns how many seconds pay for a chunk, or raises LimitExceededError; `end` ends both ways."""
        self._loop = loop
        self._source = source
        self._target = target
        self._charge = charge
        self._end = end
        self._rest = b""
        self._pause: asyncio.TimerHandle | None = None

    def start_after(self, wait: float) -> None:
        self._pause = self._loop.call_later(wait, self.start)

    def start(self) -> None:
        """Read from the source, at first and after each pause."""
        self._loop.add_reader(self._source, self._attempt, self._carry)

    def stop(self) -> None:
        """Stop copying for good. Both sockets must still be open."""
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._target)
        if self._pause is not None:
            self._pause.cancel()

    def _attempt(self, step: Callable[[], None]) -> None:
        """Run `step`, and end the connection on any error: the selector would report the socket again in each turn."""
        try:
            step()
        except BlockingIOError:
            pass  # the selector was wrong
        except LimitExceededError as error:
            self._end(str(error))
        except OSError:
            self._end("")  # either end is gone
        except BaseException:
            self._end("")
            raise

    def _carry(self) -> None:
        """Copy one chunk. One read for each turn of the loop leaves time for all other connections."""
        data = self._source.recv(_CHUNK)
        if not data:
            self._end("")
            return
        wait = self._charge(data)
        self._rest = data if wait else self._passed(data)
        if wait:
            self._loop.remove_reader(self._source)
            self._pause = self._loop.call_later(wait, self._attempt, self._pass_rest)
        elif self._rest:
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._target, self._attempt, self._pass_rest)

    def _pass_rest(self) -> None:
        """Forward what was held, and then read again."""
        self._rest = self._passed(self._rest)
        if self._rest:
            self._loop.add_writer(self._target, self._attempt, self._pass_rest)
        else:
            self._loop.remove_writer(self._target)
            self.start()

    def _passed(self, data: bytes) -> bytes:
        """Forward what the target accepts at once; return the rest."""
        try:
            return data[self._target.send(data) :]
        except BlockingIOError:
            return data


def _free(_data: bytes) -> float:
    """Charge nothing: the server's own data is not limited."""
    return 0.0


def _dial(path: str) -> socket.socket:
    """Return a connection to the server; raises OSError. A Unix socket connects at once or not at all."""
    server = socket.socket(socket.AF_UNIX)
    try:
        _prepared(server).connect(path)
    except OSError:
        server.close()
        raise
    return server


def _prepared(connection: socket.socket) -> socket.socket:
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    return connection
