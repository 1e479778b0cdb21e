"""What a handler in the wrong hands gets from the opener: listening sockets of launcher pods, and nothing else."""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_service.opener.main import respond, run
from handler_service.opener.messages import (
    LOOK,
    MAX_PODS,
    MAX_REQUEST,
    MAX_RESPONSE,
    OPEN,
    REMOVE,
    VERSION,
    Identity,
    MessageError,
    PodState,
    RefusedError,
    Request,
    decode_opened,
    decode_removed,
    decode_request,
    decode_states,
    encode_refused,
    encode_request,
)
from handler_service.opener.opener import answer
from handler_service.opener.pod_directory import SOCKET, PodsDirectory
from servicestatus.sockets import SocketDirectory, SocketError
from tests.unit.handler.builders import COMPONENTS, POD_UID

OTHER_UID = "99999999-2222-3333-4444-555555555555"


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[PodsDirectory]:
    directory = PodsDirectory(tmp_path)
    yield directory
    directory.close()


def test_a_pods_directory_that_is_not_there_is_named_with_its_flag(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(SocketError) as raised:
        run(missing, tmp_path / "opener.sock")
    advice = "mount the kubelet's pods directory there"
    assert str(raised.value) == f"--pods-dir: {missing}: No such file or directory; {advice}"


def ask(pods: PodsDirectory, kind: int, *uids: str, state: PodState | None = None) -> bytes:
    """The response, where no socket comes with it."""
    response, listener = answer(pods, encode_request(Request(kind, uids, state or PodState())))
    assert listener is None
    return response


def opened(pods: PodsDirectory, uid: str = POD_UID) -> tuple[PodState, socket.socket]:
    response, listener = answer(pods, encode_request(Request(OPEN, [uid])))
    state = decode_opened(response)
    assert state is not None
    assert listener is not None
    return state, listener


def volume(folder: Path, uid: str = POD_UID) -> Path:
    path = folder.joinpath(uid, *COMPONENTS)
    path.mkdir(parents=True)
    return path


def test_a_pods_socket_is_opened_looked_at_and_removed(pods: PodsDirectory, tmp_path: Path) -> None:
    """The three requests, in the order in which a handler makes them."""
    there = volume(tmp_path)
    assert decode_states(ask(pods, LOOK, POD_UID, OTHER_UID), 2)[1] == PodState()
    state, listener = opened(pods)
    directory = SocketDirectory.open(there)
    with listener, socket.socket(socket.AF_UNIX) as agent, contextlib.closing(directory):
        agent.connect(directory.path_of(SOCKET))
        listener.accept()[0].close()
    assert decode_states(ask(pods, LOOK, POD_UID), 1) == [state]
    decode_removed(ask(pods, REMOVE, POD_UID, state=state))
    assert list(there.iterdir()) == []


def test_a_pod_without_the_volume_gets_no_socket(pods: PodsDirectory, tmp_path: Path) -> None:
    """Its other volumes, a secret or a token, are not touched, and not reported."""
    secret = tmp_path / POD_UID / "volumes" / "kubernetes.io~secret" / "service-status"
    secret.mkdir(parents=True)
    (secret / "password").write_text("hunter2")
    assert decode_opened(ask(pods, OPEN, POD_UID)) is None
    assert decode_states(ask(pods, LOOK, POD_UID), 1) == [PodState()]
    assert [path.name for path in secret.iterdir()] == ["password"]


def test_what_stands_in_the_sockets_place_is_refused_and_left(pods: PodsDirectory, tmp_path: Path) -> None:
    """With the reason, which is of a bounded length."""
    file = volume(tmp_path) / SOCKET
    file.write_text("mine")
    with pytest.raises(RefusedError, match="is there and is no socket"):
        decode_opened(ask(pods, OPEN, POD_UID))
    decode_removed(ask(pods, REMOVE, POD_UID, state=decode_states(ask(pods, LOOK, POD_UID), 1)[0]))
    assert file.read_text() == "mine"
    assert len(encode_refused("\N{PILE OF POO}" * 1000)) <= MAX_RESPONSE


def test_another_socket_is_not_removed(pods: PodsDirectory, tmp_path: Path) -> None:
    """The handler names the one that it means; a guess removes nothing."""
    there = volume(tmp_path)
    state, listener = opened(pods)
    listener.close()
    assert state.socket is not None
    guess = state._replace(socket=Identity(state.socket.device, state.socket.inode + 1))
    decode_removed(ask(pods, REMOVE, POD_UID, state=guess))
    assert (there / SOCKET).is_socket()


@pytest.mark.parametrize("depth", range(4))
def test_a_link_to_another_pods_secrets_is_not_followed(pods: PodsDirectory, tmp_path: Path, depth: int) -> None:
    """By no request, at no step of the path."""
    secrets = tmp_path / "secrets"
    secrets.joinpath(*COMPONENTS[depth:]).mkdir(parents=True)
    link = tmp_path.joinpath(POD_UID, *COMPONENTS[:depth])
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(secrets)
    with pytest.raises(RefusedError):
        decode_opened(ask(pods, OPEN, POD_UID))
    assert decode_states(ask(pods, LOOK, POD_UID), 1)[0].directory is None
    decode_removed(ask(pods, REMOVE, POD_UID))
    assert list(secrets.rglob(SOCKET)) == []


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        bytes((VERSION,)),
        bytes((VERSION + 1, LOOK)) + POD_UID.encode(),
        bytes((VERSION, 9)) + POD_UID.encode(),
        bytes((VERSION, OPEN)),
        bytes((VERSION, OPEN)) + POD_UID.encode() * 2,
        bytes((VERSION, OPEN)) + POD_UID.encode()[:-1],
        bytes((VERSION, OPEN)) + b"../" * 12,
        bytes((VERSION, OPEN)) + POD_UID.encode().upper().replace(b"1", b"A"),
        bytes((VERSION, LOOK)) + POD_UID.encode() * (MAX_PODS + 1),
        bytes((VERSION, REMOVE)) + POD_UID.encode(),
        bytes((VERSION, REMOVE)) + POD_UID.encode() + bytes(34),
    ],
)
def test_what_is_no_request_is_refused(pods: PodsDirectory, packet: bytes) -> None:
    """Another version, a path in place of a UID, too much, too little."""
    with pytest.raises(MessageError):
        answer(pods, packet)


@given(st.binary(max_size=MAX_REQUEST))
def test_any_bytes_are_a_request_or_refused(packet: bytes) -> None:
    """A request that is taken names nothing but pods, and is written as it was read."""
    try:
        request = decode_request(packet)
    except MessageError:
        return
    assert all("/" not in uid and len(uid) == 36 for uid in request.uids)
    assert decode_request(encode_request(request)) == request


def test_a_request_leaves_nothing_open(pods: PodsDirectory, tmp_path: Path) -> None:
    """However often it is asked, and whatever for."""
    volume(tmp_path)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(20):
        state, listener = opened(pods)
        listener.close()
        ask(pods, LOOK, POD_UID, OTHER_UID)
        ask(pods, REMOVE, POD_UID, state=state)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


class Crowded(socket.socket):
    """A socket of a user whose processes have too many descriptors in unread messages."""

    def sendmsg(self, buffers: Any, ancillary: Any = (), *rest: Any) -> int:
        if ancillary:
            raise OSError(errno.ETOOMANYREFS, "Too many references: cannot splice")
        return super().sendmsg(buffers, ancillary, *rest)


def test_a_socket_that_the_kernel_does_not_pass_is_refused_with_the_reason(pods: PodsDirectory, tmp_path: Path) -> None:
    """Any container of the node that runs as root can cause it. The handler tries again 10 s later, and says why."""
    volume(tmp_path)
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with Crowded(fileno=here.detach()) as handler, there:
        response, listener = answer(pods, encode_request(Request(OPEN, [POD_UID])))
        respond(handler, response, listener)
        with pytest.raises(RefusedError, match="a socket cannot be passed: Too many references"):
            decode_opened(there.recv(MAX_RESPONSE))
    assert listener is not None
    assert listener.fileno() < 0


def test_only_the_owner_and_the_pods_group_may_use_the_socket(pods: PodsDirectory, tmp_path: Path) -> None:
    """By the umask of the program; the directory's group is the pod's."""
    there = volume(tmp_path)
    before = os.umask(0o007)
    try:
        _, listener = opened(pods)
    finally:
        os.umask(before)
    listener.close()
    assert stat.S_IMODE((there / SOCKET).stat().st_mode) & 0o007 == 0
