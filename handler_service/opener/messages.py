"""The messages between the handler and the opener: one packet each, a request and its response by turns. Pure.

Each end rejects what is not exactly one of these messages, because the other end may have been taken over. Both ends
come from the same image, so another version is an error and not a dialect.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

VERSION: Final = 1
LOOK: Final = 1
OPEN: Final = 2
REMOVE: Final = 3

#: Pods in one request.
MAX_PODS: Final = 128
#: Bytes of a reason.
MAX_REASON: Final = 512

#: Where the socket is in a pod's directory.
SOCKET_PATH: Final = "volumes/kubernetes.io~empty-dir/service-status/handler.sock"

_UID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UID_BYTES: Final = 36
_HEAD: Final = 2
#: Flags; device and inode of the directory; those of the socket.
_STATE: Final = struct.Struct(">B4Q")
_VOLUMES, _DIRECTORY, _SOCKET = 1, 2, 4
_OPENED, _ABSENT, _REFUSED = b"o", b"a", b"r"

#: Bytes of the largest request and response.
MAX_REQUEST: Final = _HEAD + MAX_PODS * _UID_BYTES
MAX_RESPONSE: Final = _HEAD + MAX_PODS * _STATE.size


class MessageError(Exception):
    """The other end sent something that is not a message."""


class RefusedError(Exception):
    """The opener does not serve this pod; the text names the path and the reason."""


class Identity(NamedTuple):
    """Identifies a file on this machine."""

    device: int
    inode: int


class PodState(NamedTuple):
    """Describes what a pod has on the node now."""

    #: Whether the kubelet holds volumes for it, so that its containers may run.
    volumes: bool = False
    #: Its `service-status` directory, if its path can be used.
    directory: Identity | None = None
    #: The handler's socket in it.
    socket: Identity | None = None


class Request(NamedTuple):
    """Asks about pods: LOOK about several or none, OPEN and REMOVE about one."""

    kind: int
    uids: Sequence[str]
    #: Of REMOVE: remove only this socket.
    state: PodState = PodState()


def is_uid(text: str) -> bool:
    """Return whether `text` can be the UID of a pod, and so the name of a directory."""
    return _UID.fullmatch(text) is not None


def encode_request(request: Request) -> bytes:
    """Return the packet of `request`."""
    uids = b"".join(uid.encode("ascii") for uid in request.uids)
    return bytes((VERSION, request.kind)) + uids + (_pack(request.state) if request.kind == REMOVE else b"")


def decode_request(packet: bytes) -> Request:
    """Return the request in `packet`; raises MessageError."""
    kind, body = _open(packet)
    state = PodState()
    if kind == REMOVE:
        body, state = body[:_UID_BYTES], _unpack(body[_UID_BYTES:])
    elif kind not in (LOOK, OPEN):
        raise MessageError(f"requests of kind {kind} are unknown")
    uids = [body[at : at + _UID_BYTES].decode("latin-1") for at in range(0, len(body), _UID_BYTES)]
    least, most = (0, MAX_PODS) if kind == LOOK else (1, 1)
    if not least <= len(uids) <= most or not all(map(is_uid, uids)):
        raise MessageError("a request does not name pods")
    return Request(kind, uids, state)


def encode_states(states: Iterable[PodState]) -> bytes:
    """Return the response to LOOK, in the order of the request."""
    return bytes((VERSION, LOOK)) + b"".join(map(_pack, states))


def encode_opened(state: PodState | None) -> bytes:
    """Return the response to OPEN: the socket is passed with it, or the pod has no directory (None)."""
    return bytes((VERSION, OPEN)) + (_ABSENT if state is None else _OPENED + _pack(state))


def encode_refused(reason: str) -> bytes:
    """Return the response to OPEN for a path that must not be used."""
    return bytes((VERSION, OPEN)) + _REFUSED + reason.encode("utf-8", "replace")[:MAX_REASON]


def encode_removed() -> bytes:
    """Return the response to REMOVE."""
    return bytes((VERSION, REMOVE))


def decode_states(packet: bytes, count: int) -> list[PodState]:
    """Return the states in a response to LOOK for `count` pods; raises MessageError."""
    body = _body(packet, LOOK)
    if len(body) != count * _STATE.size:
        raise MessageError("a response is about another number of pods")
    return [_unpack(body[at : at + _STATE.size]) for at in range(0, len(body), _STATE.size)]


def decode_opened(packet: bytes) -> PodState | None:
    """Return the state in a response to OPEN, None if the pod has no directory; raises RefusedError, MessageError."""
    body = _body(packet, OPEN)
    if body[:1] == _REFUSED:
        raise RefusedError(body[1:].decode("utf-8", "replace"))
    if body == _ABSENT:
        return None
    if body[:1] != _OPENED:
        raise MessageError("a response is neither a socket nor a reason")
    return _unpack(body[1:])


def decode_removed(packet: bytes) -> None:
    """Check a response to REMOVE; raises MessageError."""
    if _body(packet, REMOVE):
        raise MessageError("a response is too long")


def _open(packet: bytes) -> tuple[int, bytes]:
    if len(packet) < _HEAD or packet[0] != VERSION:
        raise MessageError(f"this is no message of version {VERSION}")
    return packet[1], packet[_HEAD:]


def _body(packet: bytes, kind: int) -> bytes:
    found, body = _open(packet)
    if found != kind:
        raise MessageError("a response is to another request")
    return body


def _pack(state: PodState) -> bytes:
    directory, socket = state.directory or Identity(0, 0), state.socket or Identity(0, 0)
    flags = state.volumes * _VOLUMES | bool(state.directory) * _DIRECTORY | bool(state.socket) * _SOCKET
    return _STATE.pack(flags, *directory, *socket)


def _unpack(record: bytes) -> PodState:
    if len(record) != _STATE.size:
        raise MessageError("a pod's state has another length")
    flags, *numbers = _STATE.unpack(record)
    directory = Identity(*numbers[:2]) if flags & _DIRECTORY else None
    return PodState(bool(flags & _VOLUMES), directory, Identity(*numbers[2:]) if flags & _SOCKET else None)
