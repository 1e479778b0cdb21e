"""The program as a whole, as a process, without a libvirt: its start, its end, its exit status."""

import signal
import sys
from pathlib import Path

import pytest

from servicestatus.v1.session_report_service_pb2 import GOODBYE_REASON_SHUTDOWN
from servicestatus.v1.sessions_pb2 import OBSERVATION_REASON_LIBVIRT_UNREACHABLE
from testbed.processes import ManagedProcess, script
from testbed.waiting import wait_until, wait_until_async
from tests.unit.agent.handler_peer import peer_on


def agent(folder: Path, *flags: str, name: str = "agent") -> ManagedProcess:
    return ManagedProcess(
        [
            script("launcher-agent"),
            f"--libvirt-uri=qemu+unix:///session?socket={folder}/no-libvirt",
            f"--handler-socket={folder}/handler.sock",
            f"--admin-socket={folder}/{name}.sock",
            *flags,
        ],
        log=folder / f"{name}.log",
    )


async def test_without_a_libvirt_it_reports_that_nothing_is_observed_and_ends_with_goodbye(folder: Path) -> None:
    async with peer_on(folder / "handler.sock") as peer:
        with agent(folder, "--namespace=ns", "--name=vm") as process:
            conversation = await peer.next_stream()
            hello = await conversation.expect("hello")
            assert (hello.vmi.namespace, hello.vmi.name, len(hello.instance)) == ("ns", "vm", 32)
            conversation.say(welcome={})
            snapshot = await conversation.expect("snapshot")
            assert snapshot.observation.reason == OBSERVATION_REASON_LIBVIRT_UNREACHABLE
            assert not snapshot.observation.observed
            process.signal(signal.SIGTERM)
            assert (await conversation.expect("goodbye")).reason == GOODBYE_REASON_SHUTDOWN
            conversation.end()
            await wait_until_async(lambda: process.returncode == 0, what="the agent ends well")


async def test_a_handler_that_does_not_answer_goodbye_does_not_hold_the_end_up(folder: Path) -> None:
    async with peer_on(folder / "handler.sock") as peer:
        with agent(folder) as process:
            conversation = await peer.next_stream()
            await conversation.welcome()
            process.signal(signal.SIGTERM)
            await conversation.expect("goodbye")
            await wait_until_async(lambda: process.returncode == 0, what="the agent ends well")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well_though_neither_libvirt_nor_handler_is_there(
    folder: Path, number: signal.Signals
) -> None:
    with agent(folder) as process:
        process.wait_for_log("waiting for libvirt")
        process.signal(number)
        assert process.wait() == 0
        assert not (folder / "agent.sock").exists()


def test_a_second_agent_on_the_same_admin_socket_ends_with_an_error(folder: Path) -> None:
    with agent(folder) as first:
        wait_until((folder / "agent.sock").exists, what="the admin socket is there")
        second = agent(folder)
        second.start()
        assert second.wait() == 1
        assert (
            f"--admin-socket: {folder}/agent.sock is served by another process (pid {first.pid})" in second.log_text()
        )
        assert first.running


def test_an_agent_that_was_killed_is_followed_by_another(folder: Path) -> None:
    with agent(folder) as process:
        wait_until((folder / "agent.sock").exists, what="the admin socket is there")
        process.restart()
        process.wait_for_log("waiting for libvirt")
        assert process.stop() == 0


def test_without_an_admin_socket_it_runs_too(folder: Path) -> None:
    with agent(folder, "--admin-socket=") as process:
        process.wait_for_log("waiting for libvirt")
        assert process.stop() == 0
        assert not list(folder.glob("*.lock"))


def test_a_wrong_flag_ends_it_with_status_2(folder: Path) -> None:
    with agent(folder, "--libvirt-uri=xen:///") as process:
        assert process.wait() == 2
    assert len(process.log_text().splitlines()) == 1


def test_it_runs_as_a_module_and_tells_its_version(folder: Path) -> None:
    process = ManagedProcess([sys.executable, "-m", "launcher_agent", "--version"], log=folder / "log")
    with process:
        assert process.wait() == 0
    assert process.log_text().startswith("launcher-agent ")
