"""The directories of VMs on a host: which of them are served, and what takes the place of one changes nothing else."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from handler_service.endpoints.host_endpoints import HostEndpoints
from handler_service.endpoints.private_sockets import PrivateSockets
from handler_service.endpoints.vm_directories import VmDirectories
from handler_service.model import Reason, VmiId
from handler_service.opener.messages import RefusedError
from handler_service.status_manager import StatusManager
from servicestatus import contract
from servicestatus.sockets import SocketError
from testbed.waiting import wait_until_async
from tests.unit.handler.endpoints.test_static_endpoints import new_hub, welcomed
from tests.unit.support.users import unprivileged

ONE, TWO = VmiId("default", "one", ""), VmiId("default", "two", "")


@pytest.fixture
def folder() -> Iterator[Path]:
    """In a short path, as a socket's must be."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@asynccontextmanager
async def serving(folder: Path, manager: StatusManager) -> AsyncIterator[HostEndpoints]:
    with tempfile.TemporaryDirectory() as hidden, PrivateSockets(Path(hidden)) as sockets:
        directories = VmDirectories(folder, manager.clock)
        async with HostEndpoints(directories, manager, contract.StreamSettings(), "9.9", sockets) as endpoints:
            running = asyncio.create_task(endpoints.run())
            try:
                yield endpoints
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)


async def served(folder: Path, name: str) -> Path:
    """Wait for the socket of a VM, and until it answers: it exists a moment before."""
    socket = folder / name / "handler.sock"
    await wait_until_async(socket.is_socket, what=f"{name} is served")
    assert (await welcomed(socket)).vmi.name == name
    return socket


def reason(manager: StatusManager, vmi: VmiId) -> Reason | None:
    desired = manager.desired_status(vmi)
    return None if desired is None else desired.reason


# --- which VMs ---


async def test_a_directory_is_the_vm_of_its_name_also_one_that_appears_later(folder: Path) -> None:
    """Without a restart."""
    (folder / "one").mkdir()
    manager = new_hub()
    async with serving(folder, manager) as endpoints:
        assert (await welcomed(await served(folder, "one"))).vmi.name == "one"
        assert endpoints.ready()
        (folder / "two").mkdir()
        welcome = await welcomed(await served(folder, "two"))
        assert (welcome.vmi.namespace, welcome.vmi.name) == ("default", "two")
        assert manager.vmis() == [ONE, TWO]
        assert manager.opener_answers is None
        assert [entry.endpoint.pod_uid for entry in manager.entries()] == ["", ""]


async def test_at_the_end_the_sockets_are_gone_and_another_handler_can_serve(folder: Path) -> None:
    (folder / "one").mkdir()
    async with serving(folder, new_hub()):
        socket = await served(folder, "one")
    assert not socket.exists()
    async with serving(folder, new_hub()):
        assert (await welcomed(await served(folder, "one"))).vmi.name == "one"


async def test_a_vm_whose_directory_is_gone_stays_known_as_one_without_an_agent(folder: Path) -> None:
    """Its document must not keep a number that nothing vouches for."""
    (folder / "one").mkdir()
    manager = new_hub()
    async with serving(folder, manager):
        await served(folder, "one")
        shutil.rmtree(folder / "one")
        await wait_until_async(
            lambda: reason(manager, ONE), lambda seen: seen is Reason.NO_AGENT, what="it has no agent"
        )
        assert list(manager.entries()) == []
        (folder / "one").mkdir()
        assert (await welcomed(await served(folder, "one"))).vmi.name == "one"


async def test_what_is_no_vm_is_named_once_and_ignored(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A link, a file, and names that no VMI can have; none of them leads out of the directory."""
    elsewhere = folder.with_name(folder.name + "-elsewhere")
    elsewhere.mkdir()
    try:
        (folder / "link").symlink_to(elsewhere)
        (folder / "file").touch()
        (folder / "Upper_Case").mkdir()
        (folder / ("v" * 251)).mkdir()
        (folder / "one").mkdir()
        manager = new_hub()
        async with serving(folder, manager):
            await served(folder, "one")
        assert manager.vmis() == [ONE]
        assert list(elsewhere.iterdir()) == []
        ignored = [record.message for record in caplog.records if "is ignored" in record.message]
        assert len(ignored) == 4
        expected = "Upper_Case is ignored: its name cannot be that of a VMI; give the agent's unit a lower-case name"
        assert any(expected in line for line in ignored)
    finally:
        elsewhere.rmdir()


# --- who may write ---


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_directory_that_others_may_write_is_not_used(folder: Path, mode: int) -> None:
    """They could name any VM."""
    folder.chmod(mode)
    with pytest.raises(SocketError, match="may be written by others"):
        VmDirectories(folder, lambda: 0.0)


def test_a_link_to_the_directory_is_not_used(folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "link").symlink_to(folder / "real")
    with pytest.raises(SocketError, match="link"):
        VmDirectories(folder / "link", lambda: 0.0)


async def test_a_directory_is_refused_only_if_it_stays_closed(folder: Path) -> None:
    """systemd makes it as root, and gives it to the agent's user a moment later."""
    folder.chmod(0o755)
    (folder / "one").mkdir(mode=0o500)
    made = (folder / "one").stat().st_ctime
    with unprivileged():
        assert await VmDirectories(folder, lambda: 0.0, lambda: made + 1.9).open("one") is None
        with pytest.raises(RefusedError, match="one may not be written by the handler's user"):
            await VmDirectories(folder, lambda: 0.0, lambda: made + 2.1).open("one")


async def test_a_file_in_place_of_the_socket_flags_its_own_vm_only(folder: Path) -> None:
    """It is not removed: it may belong to another program."""
    for name in ("one", "two"):
        (folder / name).mkdir()
    (folder / "one" / "handler.sock").write_text("mine")
    manager = new_hub()
    async with serving(folder, manager):
        await served(folder, "two")
        await wait_until_async(
            lambda: reason(manager, ONE), lambda seen: seen is Reason.SOCKET_REFUSED, what="it is refused"
        )
        assert reason(manager, TWO) is Reason.AGENT_STARTING
    assert (folder / "one" / "handler.sock").read_text() == "mine"


async def test_a_pipe_in_place_of_the_lock_flags_its_own_vm_only(folder: Path) -> None:
    """The handler continues, whatever a process puts into its VM's directory."""
    for name in ("one", "two"):
        (folder / name).mkdir()
    os.mkfifo(folder / "one" / "handler.sock.lock")
    manager = new_hub()
    async with serving(folder, manager):
        await served(folder, "two")
        await wait_until_async(
            lambda: reason(manager, ONE), lambda seen: seen is Reason.SOCKET_REFUSED, what="it is refused"
        )


async def test_a_second_handler_does_not_take_a_vm_that_is_served(folder: Path) -> None:
    """The first one goes on."""
    (folder / "one").mkdir()
    async with serving(folder, new_hub()):
        socket = await served(folder, "one")
        inode = socket.stat().st_ino
        second = new_hub()
        async with serving(folder, second):
            await wait_until_async(
                lambda: reason(second, ONE), lambda seen: seen is Reason.SOCKET_REFUSED, what="it is refused"
            )
        assert socket.stat().st_ino == inode
        assert (await welcomed(socket)).vmi.name == "one"
