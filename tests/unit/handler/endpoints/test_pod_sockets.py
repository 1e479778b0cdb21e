"""The handler's end of the connection to the opener: what an opener may do, and what follows without one."""

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from handler_service.endpoints.pod_sockets import OpenerAwayError, OpenerConnection, PodSockets
from handler_service.opener.messages import (
    MAX_PODS,
    PodState,
    RefusedError,
    decode_request,
    encode_opened,
    encode_refused,
    encode_states,
)
from tests.unit.handler.builders import POD_UID

STATE = PodState(volumes=True)

Answer = Callable[[bytes], tuple[bytes, list[int]]]


def uids(count: int) -> list[str]:
    return [f"{number:08}-2222-3333-4444-555555555555" for number in range(count)]


@asynccontextmanager
async def opener(answer: Answer) -> AsyncIterator[tuple[PodSockets, socket.socket]]:
    """An opener that answers as the test says, and the handler's end; the listener can be closed."""
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "opener.sock"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)

        async def serve() -> None:
            while True:
                handler, _ = await loop.sock_accept(listener)
                with handler, contextlib.suppress(ConnectionError):
                    while request := await loop.sock_recv(handler, 65_536):
                        response, passed = answer(request)
                        if not response:
                            break
                        socket.send_fds(handler, [response], passed)

        serving = loop.create_task(serve())
        sockets = PodSockets(OpenerConnection(path))
        try:
            yield sockets, listener
        finally:
            sockets.close()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            listener.close()


async def test_many_pods_are_asked_about_in_parts_and_what_is_no_uid_is_not() -> None:
    """A key of `activePods` may be anything; the opener would hang up on it."""
    asked: list[int] = []

    def answer(request: bytes) -> tuple[bytes, list[int]]:
        asked.append(len(decode_request(request).uids))
        return encode_states([STATE] * asked[-1]), []

    async with opener(answer) as (sockets, _):
        states = await sockets.look([*uids(MAX_PODS + 2), "../../etc"])
        assert asked == [MAX_PODS, 2]
        assert states["../../etc"] == PodState()
        assert list(states.values()).count(STATE) == MAX_PODS + 2
        assert await sockets.open("../../etc") is None


async def test_a_refusal_has_its_reason_and_a_pod_without_a_directory_has_none() -> None:
    """Neither is an error of the opener."""
    responses = [encode_refused("it is on another file system"), encode_opened(None)]
    async with opener(lambda _: (responses.pop(0), [])) as (sockets, _):
        with pytest.raises(RefusedError, match="it is on another file system"):
            await sockets.open(POD_UID)
        assert await sockets.open(POD_UID) is None


@pytest.mark.parametrize("what", ["nothing", "a file", "a socket that does not listen", "a response to look"])
async def test_what_is_no_listening_socket_is_not_taken(what: str, tmp_path: Path) -> None:
    """And it is closed."""
    (tmp_path / "file").touch()
    file = os.open(tmp_path / "file", os.O_RDONLY)
    deaf = socket.socket(socket.AF_UNIX)
    response = encode_states([STATE]) if what == "a response to look" else encode_opened(STATE)
    passed = {"a file": [file], "a socket that does not listen": [deaf.fileno()]}.get(what, [])
    async with opener(lambda _: (response, passed)) as (sockets, _):
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        for _ in range(3):
            with pytest.raises(OpenerAwayError):
                await sockets.open(POD_UID)
        assert len(os.listdir("/proc/self/fd")) <= before + 2  # noqa: PTH208  # the connection's two ends
    os.close(file)
    deaf.close()


async def test_an_opener_that_hangs_up_is_away_until_it_answers_again() -> None:
    """Each request dials again; to remove a socket without it is no error."""
    answers = False
    async with opener(lambda _: (encode_states([STATE]) if answers else b"", [])) as (sockets, _):
        with pytest.raises(OpenerAwayError):
            await sockets.look([POD_UID])
        await sockets.remove(POD_UID, STATE)
        answers = True
        assert await sockets.look([POD_UID]) == {POD_UID: STATE}


async def test_a_request_that_was_given_up_is_not_answered_by_the_next_response() -> None:
    """The connection ends with it."""
    async with opener(lambda request: (encode_states([STATE] * len(decode_request(request).uids)), [])) as (sockets, _):
        given_up = asyncio.ensure_future(sockets.look(uids(2)))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        assert await sockets.look([POD_UID]) == {POD_UID: STATE}


async def test_requests_that_wait_for_one_that_times_out_do_not_time_out_one_after_the_other(tmp_path: Path) -> None:
    """A handler that stops removes the sockets of all pods, and has 15 s."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as mute:
        mute.bind(str(tmp_path / "opener.sock"))
        mute.listen()
        connection = OpenerConnection(tmp_path / "opener.sock", timeout=0.2)
        sockets = PodSockets(connection)
        async with asyncio.timeout(25):  # one after the other they take 50 s
            await asyncio.gather(*(sockets.remove(uid, STATE) for uid in uids(250)))
            with pytest.raises(OpenerAwayError, match=r"no answer within 0\.2 s"):
                await sockets.look([POD_UID])


async def test_without_an_opener_there_is_an_error_and_no_wait(tmp_path: Path) -> None:
    """It may come later. A node without pods is not ready either."""
    sockets = PodSockets(OpenerConnection(tmp_path / "opener.sock"))
    for uids_ in ([POD_UID], []):
        with pytest.raises(OpenerAwayError, match="No such file"):
            await sockets.look(uids_)
