"""Answers the handler's requests. The handler is not believed: it may have been taken over by a pod's bytes.

Invariants: the opener reads and writes no file's content; it binds nothing but the socket SOCKET in a pod's
`service-status` directory, and removes nothing but such a socket; it keeps nothing between two requests.
"""

import contextlib
import socket

from handler_service.opener.messages import (
    LOOK,
    OPEN,
    RefusedError,
    Request,
    decode_request,
    encode_opened,
    encode_refused,
    encode_removed,
    encode_states,
)
from handler_service.opener.pod_directory import SOCKET, PodsDirectory, state_of
from servicestatus.sockets import SocketError


def answer(pods: PodsDirectory, packet: bytes) -> tuple[bytes, socket.socket | None]:
    """Return the response to a request, and the socket that is passed with it; raises MessageError."""
    request = decode_request(packet)
    if request.kind == LOOK:
        return encode_states(map(pods.look, request.uids)), None
    if request.kind == OPEN:
        return _open(pods, request.uids[0])
    _remove(pods, request)
    return encode_removed(), None


def _open(pods: PodsDirectory, uid: str) -> tuple[bytes, socket.socket | None]:
    try:
        directory = pods.open(uid)
        if directory is None:
            return encode_opened(None), None
        with contextlib.closing(directory):
            listener = directory.take_over(SOCKET)
            state = state_of(directory)
    except (RefusedError, SocketError) as error:
        return encode_refused(str(error)), None
    return encode_opened(state), listener


def _remove(pods: PodsDirectory, request: Request) -> None:
    """Remove the socket, unless another process has replaced it, or the pod has another directory now."""
    with contextlib.suppress(RefusedError):
        directory = pods.open(request.uids[0])
        if directory is None:
            return
        with contextlib.closing(directory):
            found = state_of(directory)
            if found.socket is not None and found[1:] == request.state[1:]:
                directory.remove(SOCKET, directory.stat(SOCKET))
