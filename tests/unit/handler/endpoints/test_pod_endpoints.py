"""What becomes of a pod's endpoint when its socket vanishes: the pod's own end looks the same for a moment."""

import asyncio
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from handler_service.endpoints.pod_directory import SOCKET, PodsDirectory
from handler_service.endpoints.pod_endpoints import PodEndpoints
from handler_service.endpoints.private_sockets import PrivateSockets
from handler_service.model import VmiId
from handler_service.status_manager import StatusManager
from servicestatus import contract
from testbed.waiting import wait_until_async
from tests.unit.handler.builders import COMPONENTS, POD_UID, VMI

TAKEN_AWAY = "was taken away"


@pytest.fixture
def sockets() -> Iterator[PrivateSockets]:
    """In a short path, as a socket's must be."""
    with tempfile.TemporaryDirectory() as hidden, PrivateSockets(Path(hidden)) as there:
        yield there


class Scene:
    """One pod that is served, by a clock that stands still until it is moved."""

    def __init__(self, folder: Path, sockets: PrivateSockets) -> None:
        self.now = 0.0
        self.pod = folder / POD_UID
        self.socket = self.pod.joinpath(*COMPONENTS, SOCKET)
        self.socket.parent.mkdir(parents=True)
        manager = StatusManager(15.0, lambda: self.now)
        self.endpoints = PodEndpoints(PodsDirectory(folder), manager, contract.StreamSettings(), "0", sockets)
        self._looks = 0

    def _wanted(self) -> dict[str, VmiId]:
        self._looks += 1
        return {POD_UID: VMI}

    async def look(self) -> None:
        """Returns when the handler has looked from beginning to end."""
        # The look that has begun may be past the pod; the one after it ends when a third begins.
        enough = self._looks + 3

        def seen() -> bool:
            self.endpoints.set_pods(self._wanted)
            return self._looks >= enough

        await wait_until_async(seen, what="the handler has looked")


@pytest.fixture
async def scene(tmp_path: Path, sockets: PrivateSockets) -> AsyncIterator[Scene]:
    made = Scene(tmp_path, sockets)
    running = asyncio.create_task(made.endpoints.run())
    await made.look()
    assert made.socket.is_socket()
    yield made
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await made.endpoints.close()


async def test_a_pod_that_ends_is_nothing_to_warn_of(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """The kubelet removes its files one by one, and the handler's socket before the rest."""
    scene.socket.unlink()
    await scene.look()
    shutil.rmtree(scene.pod)
    scene.now = 10.0
    await scene.look()
    assert TAKEN_AWAY not in caplog.text


async def test_a_socket_that_stays_away_is_told(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Half a second later."""
    scene.socket.unlink()
    await scene.look()
    assert TAKEN_AWAY not in caplog.text
    scene.now = 0.5
    await scene.look()
    assert TAKEN_AWAY in caplog.text


async def test_another_socket_in_its_place_is_told_at_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """No end of a pod puts one there."""
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as another:
        path = Path(short) / "another"
        another.bind(str(path))
        path.replace(scene.socket)
        await scene.look()
    assert TAKEN_AWAY in caplog.text
