"""What becomes of a pod's endpoint when its socket vanishes: the pod's own end looks the same for a moment."""

import asyncio
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from handler_service.endpoints.pod_endpoints import PodEndpoints
from handler_service.endpoints.pod_sockets import OpenerAwayError, PodSockets
from handler_service.endpoints.private_sockets import PrivateSockets
from handler_service.endpoints.server import EndpointServer
from handler_service.model import Assignment, DesiredStatus, Reason, VmiId
from handler_service.opener.messages import SOCKET_PATH
from handler_service.opener.opener import answer
from handler_service.opener.pod_directory import SOCKET, PodsDirectory
from handler_service.status_manager import StatusManager
from servicestatus import contract
from testbed.waiting import wait_until_async
from tests.unit.handler.builders import COMPONENTS, POD_UID, VMI, WATCHING, vnc

TAKEN_AWAY = "was removed or replaced"


@pytest.fixture
def sockets() -> Iterator[PrivateSockets]:
    """In a short path, as a socket's must be."""
    with tempfile.TemporaryDirectory() as hidden, PrivateSockets(Path(hidden)) as there:
        yield there


class Opener:
    """The opener's own code, without its process."""

    def __init__(self, folder: Path) -> None:
        self._pods = PodsDirectory(folder)
        self.away = False

    async def ask(self, request: bytes) -> tuple[bytes, socket.socket | None]:
        if self.away:
            raise OpenerAwayError("it was stopped")
        return answer(self._pods, request)

    def close(self) -> None:
        self._pods.close()


class Scene:
    """One pod that is served, by a clock that stands still until it is moved."""

    def __init__(self, folder: Path, sockets: PrivateSockets) -> None:
        self.now = 0.0
        self.pod = folder / POD_UID
        self.socket = self.pod.joinpath(*COMPONENTS, SOCKET)
        self.socket.parent.mkdir(parents=True)
        self.folder = folder
        self.pods = {POD_UID: VMI}
        self.manager = StatusManager(15.0, lambda: self.now)
        self.manager.assign(VMI, Assignment(owned=True))
        self.opener = Opener(folder)
        pods = PodSockets(self.opener)
        self.endpoints = PodEndpoints(pods, self.manager, contract.StreamSettings(), "0", sockets)
        self._looks = 0

    def _wanted(self) -> dict[str, VmiId]:
        self._looks += 1
        return self.pods

    def add_pod(self, uid: str, *volumes: str) -> Path:
        """One more pod of the VMI, with these volumes; returns the place of its socket."""
        for volume in volumes:
            self.folder.joinpath(uid, *COMPONENTS[:2], volume).mkdir(parents=True)
        self.pods = {**self.pods, uid: VMI}
        return self.folder.joinpath(uid, *COMPONENTS, SOCKET)

    def desired(self) -> DesiredStatus:
        """What is to be published."""
        desired = self.manager.desired_status(VMI)
        assert desired is not None
        return desired

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


async def test_the_socket_of_a_pod_that_is_not_wanted_any_more_is_removed(scene: Scene) -> None:
    """A VM that has left the node: an agent that dials again is not kept waiting."""
    scene.pods = {}
    await scene.look()
    assert not scene.socket.exists()


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


OTHER_UID = "99999999-2222-3333-4444-555555555555"


def report(scene: Scene, uid: str, sessions: int) -> None:
    """As the agent of a pod does it: everything is seen, and this is the number."""
    reports = scene.manager.reports
    reports.opened(uid, "run-1", "1", 0.0)
    reports.replace(uid, 1, WATCHING, vnc(sessions), 0.0)


async def test_a_pod_without_an_agent_keeps_the_other_pods_of_its_vmi_from_proving_a_zero(scene: Scene) -> None:
    """Only one of them runs the VM, and that may be the pod without an agent: a user may have added the other one."""
    report(scene, POD_UID, 0)
    assert scene.desired().observed
    scene.add_pod(OTHER_UID, "libvirt-runtime")
    await scene.look()
    desired = scene.desired()
    assert (desired.sessions, desired.observed, desired.reason) == (0, False, Reason.NO_AGENT)


async def test_a_pod_that_has_ended_does_not_matter_to_the_others(scene: Scene) -> None:
    """Its directory is there until it is deleted, without volumes."""
    report(scene, POD_UID, 0)
    scene.add_pod(OTHER_UID, "libvirt-runtime")
    await scene.look()
    assert not scene.desired().observed
    scene.folder.joinpath(OTHER_UID, *COMPONENTS[:2], "libvirt-runtime").rmdir()
    await scene.look()
    assert scene.desired().observed


async def test_a_pod_whose_socket_is_refused_keeps_the_others_from_proving_a_zero(scene: Scene) -> None:
    """And when that is over, or the pod has gone, it does not any more."""
    report(scene, POD_UID, 0)
    scene.add_pod(OTHER_UID, "service-status").write_text("mine")
    await scene.look()
    assert (scene.desired().observed, scene.desired().reason) == (False, Reason.SOCKET_REFUSED)
    scene.pods = {POD_UID: VMI}
    await scene.look()
    assert scene.desired().observed


async def test_pods_that_end_together_are_released_together(scene: Scene) -> None:
    """Each may need the whole grace period of its streams: fifty would keep a new pod waiting for 25 s."""
    uids = [f"{number:08}-2222-3333-4444-555555555555" for number in range(5)]
    for uid in uids:
        scene.add_pod(uid, "service-status")
    await scene.look()
    stopping = 0
    all_at_once = asyncio.Event()

    really_stop = EndpointServer.stop

    async def stop(server: EndpointServer) -> None:
        nonlocal stopping
        stopping += 1
        if stopping == len(uids):
            all_at_once.set()
        await asyncio.wait_for(all_at_once.wait(), 60)
        await really_stop(server)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EndpointServer, "stop", stop)
        scene.pods = {POD_UID: VMI}
        await scene.look()
    assert stopping == 5


async def test_a_pod_that_keeps_taking_its_socket_away_is_logged_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Once in ten minutes for each kind, although the socket is created again every 10 s."""
    with caplog.at_level("INFO"):
        for _ in range(10):
            with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as another:
                path = Path(short) / "another"
                another.bind(str(path))
                path.replace(scene.socket)
            await scene.look()
            scene.now += 10.0
            await scene.look()
            assert scene.socket.is_socket()
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if TAKEN_AWAY in line] == [f"{POD_UID}/{SOCKET_PATH} {TAKEN_AWAY}"]
    assert len([line for line in lines if line.startswith("serving ")]) <= 2


async def test_while_the_opener_is_away_served_pods_stay_so_and_others_prove_nothing(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """The sockets are the handler's. A pod that came meanwhile may run the VM; it is served when the opener is back."""
    report(scene, POD_UID, 0)
    scene.opener.away = True
    await scene.look()
    assert (scene.desired().observed, scene.manager.opener_answers) == (True, False)
    added = scene.add_pod(OTHER_UID, "service-status")
    await scene.look()
    assert (scene.desired().observed, scene.desired().reason) == (False, Reason.NO_AGENT)
    assert not added.exists()
    scene.opener.away = False
    await scene.look()
    assert added.is_socket()
    assert scene.manager.opener_answers
    assert [line for line in caplog.messages if "the opener is away" in line] == [
        "the opener is away: it was stopped; pods that are served stay so, others wait"
    ]
