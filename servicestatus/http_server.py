"""Serves HTTP to peers that are not trusted, within bounds that hold for any number of them.

aiohttp parses and answers. It has no bound for connections, for the time of a request's head, or for a peer that does
not read its answer; this module adds them by accepting the connections itself.

Invariants:
- At most `connections` are open. A new one takes the place of the oldest one of the address that has the most. So a
  peer that opens many keeps no other one out.
- A connection serves one request. It has `request_timeout` for the request, with the TLS handshake, and then
  `answer_timeout` for the answer.
- A closed connection is reset, so that the kernel keeps nothing for a peer that does not read.
- What peers send is never logged.
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from servicestatus.addresses import Address
from servicestatus.crowding import newest_of_each
from servicestatus.sockets import SocketError

log = logging.getLogger(__name__)

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
#: An address and a port, and for IPv6 two numbers more.
_Peer = tuple[Any, ...]

#: Bytes of the request line and of each header. The longest known is a service account's token, with 1.5 KiB.
_MAX_LINE: Final = 4096
#: Headers of a request. Prometheus sends six.
_MAX_HEADERS: Final = 32
#: Bytes of a body that a peer may have sent unasked, before its connection is no longer read.
_READ_AHEAD: Final = 4096
#: Connections that the kernel completes before they are accepted. A connection that finds no place tries again after
#: 1 s, 3 s and 7 s, and the kubelet waits for 10 s.
_BACKLOG: Final = 512
#: Connections stay in the kernel's queue while the process has no file descriptor or memory for them.
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_EXHAUSTED_PAUSE: Final = 5.0
#: Seconds for answers in progress, when the server stops.
_STOP_TIMEOUT: Final = 1.0
#: The close of a socket discards what was not sent, and resets the connection.
_RESET: Final = struct.pack("ii", 1, 0)

#: aiohttp logs each request that it cannot parse, with a traceback and the peer's bytes.
_SILENT: Final = logging.getLogger(f"{__name__}.aiohttp")
_SILENT.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds what all peers of a port together can use."""

    #: Connections at one time: a kubelet and each scraper need one.
    connections: int = 16
    #: Seconds for a request, until its answer is ready. A peer in the cluster needs milliseconds.
    request_timeout: float = 5.0
    #: Seconds for the peer to read the answer. Prometheus allows 10 s for a scrape.
    answer_timeout: float = 10.0
    #: Seconds until connections are accepted again: all that wait, so that the ones of a peer that has few are served.
    #: In a second at most 160 requests are answered and 5,120 connections accepted, which takes an eighth of a core.
    pause: float = 0.1


class HttpServer:
    """Serves one port between enter and exit."""

    def __init__(
        self,
        address: Address,
        routes: Mapping[tuple[str, str], Answer],
        *,
        limits: Limits,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`routes` has what answers each method and path; a route for GET answers HEAD too.

        The body of a request, as `request.read()` returns it, has at most 1 MiB. `tls` may load another certificate
        while the server runs.
        """
        self._address = address
        self._routes = routes
        self._tls = tls
        self._limits = limits
        #: By the peer's address and port, in the order in which they were accepted.
        self._connections: dict[_Peer, _Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Listen; raises SocketError."""
        self._listener = _listen(self._address)
        self._aiohttp = web.Server(
            self._answer,
            logger=_SILENT,
            access_log=None,
            auto_decompress=False,
            lingering_time=0,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_LINE,
            max_headers=_MAX_HEADERS,
            read_bufsize=_READ_AHEAD,
        )
        self._loop = asyncio.get_running_loop()
        self._resuming = self._loop.call_soon(self._resume)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resuming.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for connection in self._connections.values():
            connection.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._aiohttp.shutdown(timeout=_STOP_TIMEOUT)

    def _resume(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _rest(self, pause: float) -> None:
        """Accept nothing for so many seconds."""
        self._loop.remove_reader(self._listener)
        self._resuming.cancel()
        self._resuming = self._loop.call_later(pause, self._resume)

    def _accept(self) -> None:
        """Accept all connections that wait, reset those that find no room, and give the others to aiohttp."""
        if self._limits.pause:
            self._rest(self._limits.pause)
        waiting = self._waiting()
        served = self._connections
        # A peer whose port is used again has closed its former connection.
        hosts = {peer: served[peer].host for peer in served if peer not in waiting and served[peer].is_open()}
        kept = newest_of_each({**hosts, **{peer: peer[0] for peer in waiting}}, self._limits.connections)
        for peer in served.keys() - (kept & hosts.keys()):
            served.pop(peer).close()
        for peer in waiting.keys() - kept:
            with waiting.pop(peer) as accepted:
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        for peer, accepted in waiting.items():
            accepted.setblocking(False)
            served[peer] = _Connection(accepted, peer[0], self._limits)
            task = self._loop.create_task(self._serve(accepted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _waiting(self) -> dict[_Peer, socket.socket]:
        """Accept all connections that wait. Of a flood most are reset at once: nothing else is done for them."""
        waiting: dict[_Peer, socket.socket] = {}
        for _ in range(_BACKLOG):
            try:
                accepted, peer = self._listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    log.warning("%s: connections cannot be accepted: %s; retrying", self._address, error.strerror)
                    self._rest(_EXHAUSTED_PAUSE)
                    break
                continue  # the connection has ended
            if peer in waiting:  # the port is used again
                waiting.pop(peer).close()
            waiting[peer] = accepted
        return waiting

    async def _serve(self, accepted: socket.socket) -> None:
        """Give a connection to aiohttp; returns when its TLS handshake has ended."""
        try:
            await self._loop.connect_accepted_socket(self._aiohttp, accepted, ssl=self._tls)
        except OSError:  # no TLS, or the connection has ended
            accepted.close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the answer of the request's route."""
        try:
            response = await self._route(request)(request)
        except web.HTTPException as error:
            error.force_close()
            raise
        except (ConnectionError, web.RequestPayloadError):  # the peer's, as the end of its connection
            response = web.Response(status=400)
        except Exception:
            log.exception("%s: a request failed: %s", self._address, request.path)
            response = web.Response(status=500)
        response.force_close()
        peer = request.get_extra_info("peername")
        if peer in self._connections:  # else another connection has its place, and it ends
            self._connections[peer].answer()
        return response

    def _route(self, request: web.BaseRequest) -> Answer:
        """Return what answers a request; raises HTTPException."""
        method = "GET" if request.method == "HEAD" else request.method
        if (method, request.path) in self._routes:
            return self._routes[method, request.path]
        methods = [method for method, path in self._routes if path == request.path]
        raise web.HTTPMethodNotAllowed(request.method, methods) if methods else web.HTTPNotFound


class _Connection:
    """Closes an accepted connection at the end of its time."""

    def __init__(self, accepted: socket.socket, host: str, limits: Limits) -> None:
        #: asyncio closes this object with the connection.
        self.socket = accepted
        #: The peer's address, without its port.
        self.host = host
        self._answer_timeout = limits.answer_timeout
        self._timer = asyncio.get_running_loop().call_later(limits.request_timeout, self.close)

    def is_open(self) -> bool:
        return self.socket.fileno() >= 0

    def answer(self) -> None:
        """Give the peer time to read the answer."""
        self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._answer_timeout, self.close)

    def close(self) -> None:
        """Reset the connection. asyncio sees its end and closes the socket, also in the middle of a TLS handshake."""
        self._timer.cancel()
        with contextlib.suppress(OSError):  # closed, or ended by the peer
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.socket.shutdown(socket.SHUT_RDWR)


def _listen(address: Address) -> socket.socket:
    """Return a listening socket, for IPv4 and IPv6 where the address names no host; raises SocketError."""
    dual = not address.host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual or ":" in address.host else socket.AF_INET
    try:
        listener = socket.create_server(tuple(address), family=family, backlog=_BACKLOG, dualstack_ipv6=dual)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise SocketError(f"{address} cannot be bound: {reason}; name another address") from error
    listener.setblocking(False)
    return listener
