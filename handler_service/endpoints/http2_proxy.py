"""Stands in front of the gRPC server of one socket, so that no byte of a pod reaches gRPC unseen and unpaced.

Every connection is copied to and from the server, which listens where only this process can reach it. What breaks a
bound ends its connection. What is merely too fast is read no faster: a flood fills the buffers of whoever makes it.

Invariants: a direction of a connection holds at most _CHUNK bytes here; a socket costs the event loop no more than
RATE pays for; nobody waits for a peer that does not read but the connection that this peer is on.

Plain callbacks of the event loop, since every message of every VM passes here: a task that awaits each read and each
write is several times the price (docs/performance.md).
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from handler_service.endpoints.allowance import Allowance
from handler_service.endpoints.http2_limits import Http2Limits, LimitExceededError, Unfinished
from servicestatus import contract
from servicestatus.clock import Clock
from servicestatus.rate_limit import TokenBucket

#: Small, since what is in it is passed on before it is paid for: a kilobyte can hold a dozen calls.
_CHUNK: Final = 1024
#: Bytes that the kernel holds for a peer that does not read, by default ten times as many.
_SEND_BUFFER: Final = 16 * 1024
#: Connections at once and then one each so many seconds. An agent that is refused dials ten times a second at most.
_CONNECTION_BURST: Final = 16
_CONNECTION_INTERVAL: Final = 0.1
#: What a read costs besides what it brings: an agent's brings a message, an enemy's may bring a byte, 20,000 times a
#: second and a fifth of a core (measured). A wake-up and two calls of the kernel are no cheaper than a frame.
READ_COST: Final = 256


class Http2Proxy:
    """Carries the connections of one socket."""

    def __init__(
        self,
        listener: socket.socket,
        server: str,
        refused: Callable[[str], None],
        clock: Clock,
    ) -> None:
        """Take over `listener`. `server` is the path of the server's socket; `refused` hears why a connection ended."""
        self._listener = listener
        self._server = server
        self._refused = refused
        self._clock = clock
        self._allowance = Allowance(clock)
        self._unfinished = Unfinished()
        self._bucket = TokenBucket(_CONNECTION_BURST, _CONNECTION_INTERVAL)
        self._connections: set[_Connection] = set()
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Listen no longer, and end all connections; a second time does nothing."""
        if self._listener.fileno() < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for connection in list(self._connections):
            connection.close()

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        now = self._clock()
        if not self._bucket.take(now):
            self._loop.remove_reader(self._listener)
            self._pause = self._loop.call_later(self._bucket.ready_at(now) - now, self._listen)
            return
        try:
            client, _ = self._listener.accept()
        except OSError:  # no more open files, or the peer was quick to leave; the bucket paces the next try
            return
        if len(self._connections) >= contract.MAX_CONNECTIONS:
            client.close()
            self._refused("too many connections")
            return
        self._carry(client)

    def _carry(self, client: socket.socket) -> None:
        try:
            server = _dial(self._server)
        except OSError:
            client.close()
            return
        connection = _Connection(client, server, self._allowance, Http2Limits(self._unfinished), self._forget)
        self._connections.add(connection)
        connection.start()

    def _forget(self, connection: "_Connection", reason: str) -> None:
        self._connections.discard(connection)
        if reason:
            self._refused(reason)


class _Connection:
    """A client and its server. The end of either is the end of both: a half-closed connection is none in HTTP/2."""

    __slots__ = ("_allowance", "_bounds", "_client", "_directions", "_ended", "_server")

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        allowance: Allowance,
        bounds: Http2Limits,
        ended: Callable[["_Connection", str], None],
    ) -> None:
        """Take over both sockets. `ended` hears which bound was broken, or nothing where an end is an ordinary one."""
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

    def start(self) -> None:
        for direction in self._directions:
            direction.start()

    def close(self) -> None:
        self._end("")

    def _charge(self, data: bytes) -> float:
        return self._allowance.spend(self._bounds.take(data) + READ_COST)

    def _end(self, reason: str) -> None:
        for direction in self._directions:
            direction.stop()
        self._client.close()
        self._server.close()
        self._bounds.close()
        self._ended(self, reason)


class _Direction:
    """One direction of a connection. What it has read it passes on, and pays for, before it reads again.

    The selector tells of a socket as long as there is something to tell, so whoever waits here for something else
    takes it out: a peer that floods, or has left meanwhile, is found when its turn has come.
    """

    __slots__ = ("_charge", "_end", "_loop", "_pause", "_rest", "_source", "_target", "_wait")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: socket.socket,
        target: socket.socket,
        charge: Callable[[bytes], float],
        end: Callable[[str], None],
    ) -> None:
        """`charge` gives the seconds until something is paid for, and raises BrokenBoundError; `end` ends both ways."""
        self._loop = loop
        self._source = source
        self._target = target
        self._charge = charge
        self._end = end
        self._rest = b""
        self._wait = 0.0
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Also after a pause."""
        self._loop.add_reader(self._source, self._attempt, self._carry)

    def stop(self) -> None:
        """For good. Both sockets are still open."""
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._target)
        if self._pause is not None:
            self._pause.cancel()

    def _attempt(self, step: Callable[[], None]) -> None:
        """Whatever goes wrong ends the connection: the selector would tell of it for ever."""
        try:
            step()
        except BlockingIOError:
            pass  # a false alarm
        except LimitExceededError as error:
            self._end(str(error))
        except OSError:
            self._end("")  # either end is gone
        except BaseException:
            self._end("")
            raise

    def _carry(self) -> None:
        """Once in a turn of the loop, so that all others have theirs, whatever there is to read."""
        data = self._source.recv(_CHUNK)
        if not data:
            self._end("")
            return
        self._wait = self._charge(data)
        self._rest = self._passed(data)
        if self._rest or self._wait:
            self._loop.remove_reader(self._source)
            self._hold()

    def _hold(self) -> None:
        """Until all is passed on, and then until it is paid for."""
        if self._rest:
            self._loop.add_writer(self._target, self._attempt, self._carry_rest)
        else:
            self._pause = self._loop.call_later(self._wait, self.start)

    def _carry_rest(self) -> None:
        self._rest = self._passed(self._rest)
        if not self._rest:
            self._loop.remove_writer(self._target)
            self._hold()

    def _passed(self, data: bytes) -> bytes:
        """Pass on what the target takes at once; what it does not."""
        try:
            return data[self._target.send(data) :]
        except BlockingIOError:
            return data


def _free(_data: bytes) -> float:
    """What our own server says is not paced."""
    return 0.0


def _dial(path: str) -> socket.socket:
    """A connection to the server, which a unix socket has at once or not at all; raises OSError."""
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
