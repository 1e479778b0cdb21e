"""The demo as a user runs it: what it prints, how it ends, and that nothing is left however it ends."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import procfs
from testbed.addresses import TcpAddress, UnixAddress
from testbed.processes import ManagedProcess
from testbed.rfb import Viewer
from testbed.waiting import wait_until

ROOT = Path(__file__).parents[2]
# Seconds: a few for the set-up, and a minute for the story on a busy machine.
TIMEOUT = 90


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[ManagedProcess]:
    """`make demo` without make; a test that fails leaves no demo running."""
    process = _demo(tmp_path)
    yield process
    process.kill()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[ManagedProcess]:
    """`make demo-live` without make; a test that fails leaves no demo running."""
    process = _demo(tmp_path, "--live")
    yield process
    process.kill()


def _demo(tmp_path: Path, *options: str) -> ManagedProcess:
    argv = [sys.executable, "-m", "demo", *options]
    return ManagedProcess(argv, log=tmp_path / "demo.log", env={"PYTHONPATH": str(ROOT)})


def _directory(process: ManagedProcess) -> Path:
    """Return the directory in which this demo keeps everything."""
    found = re.search(r"(/tmp/vss-\w+)", process.wait_for_log(" in /tmp/vss-", TIMEOUT))
    assert found
    return Path(found[1])


def _assert_nothing_is_left(directory: Path) -> None:
    """No process names the directory, nothing is mounted on it, and it is gone; after a SIGKILL a moment later."""
    wait_until(lambda: _users(directory), lambda pids: not pids, what=f"no process names {directory}")
    wait_until(directory.exists, lambda there: not there, what=f"{directory} is gone")
    assert str(directory) not in Path("/proc/self/mounts").read_text()


def _users(directory: Path) -> list[int]:
    return [pid for pid in procfs.pids() if any(bytes(directory) in part for part in procfs.command_line(pid))]


# --- a run as it should be --------------------------------------------------------------------------------------------


def test_the_demo_tells_its_story_and_leaves_nothing(demo: ManagedProcess) -> None:
    """Status 0, the values in this order, on one screen; processes, files and mounts are gone when it ends."""
    demo.start()
    directory = _directory(demo)
    assert demo.wait(TIMEOUT) == 0, demo.log_tail()
    assert not directory.exists()
    _assert_nothing_is_left(directory)
    assert _values(demo) == ["absent", "1", "2", "1", "1", "1", "1", "absent"]
    assert len(demo.log_text().splitlines()) <= 60


def test_the_live_demo_serves_viewers_of_ones_own_until_interrupted(live: ManagedProcess) -> None:
    """The printed port and socket lead to the VM, each viewer shows, and Ctrl-C ends it with status 0."""
    live.start()
    directory = _directory(live)
    live.wait_for_log("Ctrl-C ends it", TIMEOUT)
    port, socket = re.findall(r"vncviewer -Shared (?:127\.0\.0\.1::)?(\S+)", live.log_text())
    with Viewer.establish(TcpAddress(int(port))):
        wait_until(lambda: _last_value(live), "1".__eq__, what="the first viewer shows")
        with Viewer.establish(UnixAddress(Path(socket))):
            wait_until(lambda: _last_value(live), "2".__eq__, what="the second viewer shows")
        wait_until(lambda: _last_value(live), "1".__eq__, what="one has left")
    wait_until(lambda: _last_value(live), "absent".__eq__, what="all have left")
    live.signal(signal.SIGINT)
    assert live.wait(TIMEOUT) == 0, live.log_tail()
    _assert_nothing_is_left(directory)


def _last_value(process: ManagedProcess) -> str:
    return _values(process)[-1]


def _values(process: ManagedProcess) -> list[str]:
    return re.findall(r"-> status\.serviceStatus\.vncSessions: (\w+)", process.log_text())


# --- other ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "status"), [("SIGINT", 130), ("SIGHUP", 129), ("SIGKILL", -9)])
def test_nothing_is_left_however_it_ends(demo: ManagedProcess, end: str, status: int) -> None:
    """In the middle of the story, by Ctrl-C, by a closed terminal, or by SIGKILL, which no program can handle."""
    demo.start()
    directory = _directory(demo)
    demo.wait_for_log("Alice opens the console", TIMEOUT)
    demo.signal(signal.Signals[end])
    assert demo.wait() == status
    _assert_nothing_is_left(directory)


def test_it_fails_where_what_it_shows_is_not_what_it_says(demo: ManagedProcess) -> None:
    """Without its agent the value cannot follow: status 1, one line with the cause, and nothing is left either."""
    demo.start()
    directory = _directory(demo)
    named = re.search(r"launcher-agent \(pid (\d+)\)", demo.wait_for_log("launcher-agent (pid", TIMEOUT))
    assert named
    demo.wait_for_log("Alice opens the console", TIMEOUT)
    os.kill(int(named[1]), signal.SIGKILL)
    assert demo.wait(TIMEOUT) == 1
    assert "demo: FAILED: launcher-agent has ended with status -9" in demo.log_text()
    _assert_nothing_is_left(directory)
