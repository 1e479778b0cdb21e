"""Gets the sockets of launcher pods from the opener, which alone may enter their directories."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol

from handler_service.model import Endpoint, VmiId
from handler_service.opener.messages import (
    LOOK,
    MAX_PODS,
    MAX_RESPONSE,
    OPEN,
    REMOVE,
    SOCKET_PATH,
    MessageError,
    PodState,
    Request,
    decode_opened,
    decode_removed,
    decode_states,
    encode_request,
    is_uid,
)

#: Seconds until the opener counts as away. It answers in less than 10 ms.
_TIMEOUT: Final = 5.0


class OpenerAwayError(Exception):
    """The opener does not answer; the text gives the reason. Sockets that it has passed stay usable."""


class Opener(Protocol):
    """Answers requests."""

    async def ask(self, request: bytes) -> tuple[bytes, socket.socket | None]:
        """Send a request and return the response, and the socket that came with it; raises OpenerAwayError."""

    def close(self) -> None:
        """Hang up."""


class Sockets(Protocol):
    """Binds one socket for each of the handler's peers, which a string names: a pod's UID, or a VM's name."""

    #: Whether the opener binds them, which may be away.
    by_opener: bool

    async def look(self, uids: Iterable[str]) -> dict[str, PodState]:
        """Return what each of them has now; raises OpenerAwayError."""

    async def open(self, uid: str) -> tuple[socket.socket, PodState] | None:
        """Return a socket that listens, or None if there is no directory for it.

        Raises RefusedError, SocketError, OpenerAwayError.
        """

    async def remove(self, uid: str, state: PodState) -> None:
        """Remove the socket if it is still that of `state`."""

    def endpoint(self, uid: str, vmi: VmiId) -> Endpoint:
        """Return what the socket proves."""

    def close(self) -> None:
        """Free what is held."""


class PodSockets:
    """Asks the opener about pods."""

    by_opener = True

    def __init__(self, opener: Opener) -> None:
        self._ask = opener.ask
        self.close = opener.close

    def endpoint(self, uid: str, vmi: VmiId) -> Endpoint:
        """Return the endpoint of a pod."""
        return Endpoint(id=uid, vmi=vmi, socket=f"{uid}/{SOCKET_PATH}", pod_uid=uid)

    async def look(self, uids: Iterable[str]) -> dict[str, PodState]:
        """Return what each of the pods has now; raises OpenerAwayError, also if there is no pod."""
        states = dict.fromkeys(uids, PodState())
        known = [uid for uid in states if is_uid(uid)]
        for start in range(0, max(1, len(known)), MAX_PODS):
            part = known[start : start + MAX_PODS]
            response, listener = await self._ask(encode_request(Request(LOOK, part)))
            _must_not_pass(listener)
            with _checked():
                states.update(zip(part, decode_states(response, len(part)), strict=True))
        return states

    async def open(self, uid: str) -> tuple[socket.socket, PodState] | None:
        """Return a pod's socket, which listens, or None if it has no directory.

        Raises RefusedError, OpenerAwayError.
        """
        if not is_uid(uid):
            return None
        response, listener = await self._ask(encode_request(Request(OPEN, [uid])))
        try:
            with _checked():
                return _opened(decode_opened(response), listener)
        except BaseException:
            if listener is not None:
                listener.close()
            raise

    async def remove(self, uid: str, state: PodState) -> None:
        """Remove the pod's socket if it is still that of `state`. An opener that is away leaves it there."""
        with contextlib.suppress(OpenerAwayError), _checked():
            response, listener = await self._ask(encode_request(Request(REMOVE, [uid], state)))
            _must_not_pass(listener)
            decode_removed(response)


class OpenerConnection:
    """Keeps the connection to the opener, and connects again after each error."""

    def __init__(self, path: Path, timeout: float = _TIMEOUT) -> None:
        """`path` is the opener's socket; `timeout` is in seconds."""
        self._path = path
        self._timeout = timeout
        self._turn = asyncio.Lock()
        #: How many requests have timed out.
        self._timeouts = 0
        self._connection: socket.socket | None = None

    async def ask(self, request: bytes) -> tuple[bytes, socket.socket | None]:
        """Send a request and return the response, and the socket that came with it; raises OpenerAwayError."""
        timeouts = self._timeouts
        async with self._turn:
            # Else each of the requests of one shutdown would wait for the whole time, one after the other.
            if self._timeouts != timeouts:
                raise OpenerAwayError("an earlier request was not answered")
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._exchange(request)
            except (OSError, TimeoutError) as error:
                self.close()
                self._timeouts += isinstance(error, TimeoutError)
                raise OpenerAwayError(str(error) or f"no answer within {self._timeout:g} s") from error
            except BaseException:
                self.close()  # its response would be taken for that of the next request
                raise

    def close(self) -> None:
        """Hang up; the next request connects again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _exchange(self, request: bytes) -> tuple[bytes, socket.socket | None]:
        if self._connection is None:
            self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._connection.setblocking(False)
            self._connection.connect(str(self._path))
        self._connection.send(request, socket.MSG_NOSIGNAL)
        await _readable(self._connection)
        response, descriptors, flags, _ = socket.recv_fds(self._connection, MAX_RESPONSE, 1, socket.MSG_CMSG_CLOEXEC)
        listener = _socket(descriptors[0]) if descriptors else None
        if not response or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            if listener is not None:
                listener.close()
            raise ConnectionResetError("the opener has hung up")
        return response, listener


def _socket(descriptor: int) -> socket.socket:
    try:
        return socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        raise


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection)


@contextlib.contextmanager
def _checked() -> Iterator[None]:
    """Map an unusable response to that of no opener."""
    try:
        yield
    except MessageError as error:
        raise OpenerAwayError(str(error)) from error


def _must_not_pass(listener: socket.socket | None) -> None:
    if listener is not None:
        listener.close()
        raise OpenerAwayError("the opener passed a socket that was not asked for")


def _opened(state: PodState | None, listener: socket.socket | None) -> tuple[socket.socket, PodState] | None:
    """Check that a socket came with the state, and that it is one to listen on."""
    if state is None and listener is None:
        return None
    if state is None or listener is None or not _listens(listener):
        raise MessageError("the opener passed something else than a listening socket")
    return listener, state


def _listens(listener: socket.socket) -> bool:
    return (
        listener.family == socket.AF_UNIX
        and listener.type == socket.SOCK_STREAM
        and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    )
