"""Who may own a socket's path."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from servicestatus.sockets import SocketDirectory, SocketError, SocketLock

HOLD = """
import sys
from pathlib import Path
from servicestatus.sockets import SocketLock
lock = SocketLock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of `handler.sock`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "handler.sock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def leave_socket(path: Path) -> None:
    """What a killed process leaves behind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.bind(str(path))


# --- the lock ---


def test_a_second_process_is_refused_and_told_who_is_there(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """Two handlers on one path would split the agents between them without a word."""
    path = tmp_path / "handler.sock"
    with pytest.raises(SocketError) as refused:
        SocketLock(path)
    told = f"{path} is served by another process (pid {holder.pid}): end it first, or name another socket"
    assert str(refused.value) == told


def test_the_lock_ends_with_its_process(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """SIGKILL too: the kernel drops it."""
    holder.kill()
    holder.wait(timeout=30)
    with SocketLock(tmp_path / "handler.sock"):
        assert (tmp_path / "handler.sock.lock").read_text() == f"{os.getpid()}\n"


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    """Its file stays, so that no process can hold a file that was deleted."""
    path = tmp_path / "handler.sock"
    with SocketLock(path):
        pass
    assert (tmp_path / "handler.sock.lock").exists()
    SocketLock(path).release()


def test_a_refused_lock_leaves_no_descriptor_open(tmp_path: Path) -> None:
    """A program may retry for a long time."""
    with SocketLock(tmp_path / "s"):
        before = descriptors()
        for _ in range(3):
            with pytest.raises(SocketError):
                SocketLock(tmp_path / "s")
        assert descriptors() == before


def test_a_lock_file_is_no_symlink(tmp_path: Path) -> None:
    """The file that a symlink points to is not truncated."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "s.lock").symlink_to(precious)
    with pytest.raises(SocketError, match=r"s\.lock: Too many levels of symbolic links"):
        SocketLock(tmp_path / "s")
    assert precious.read_text() == "precious"


def test_a_lock_file_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    """A process that may write to the directory can put one there. It costs no descriptor."""
    os.mkfifo(tmp_path / "s.lock")
    before = descriptors()
    with pytest.raises(SocketError, match=r"s\.lock: Invalid argument"):
        SocketLock(tmp_path / "s")
    assert descriptors() == before


def test_the_holder_is_named_by_a_number_only(tmp_path: Path) -> None:
    """What another process has written into the file reaches logs and documents."""
    with SocketLock(tmp_path / "s"):
        (tmp_path / "s.lock").write_text("1\x1b[2J")
        with pytest.raises(SocketError, match=r"\(pid unknown\)"):
            SocketLock(tmp_path / "s")


def test_a_lock_needs_its_directory(tmp_path: Path) -> None:
    """And says what to do."""
    with pytest.raises(SocketError, match=r"nowhere is not there: make it first, or name another socket"):
        SocketLock(tmp_path / "nowhere" / "s")


# --- the directory ---


def test_a_stale_socket_is_removed(tmp_path: Path) -> None:
    """What a killed process left does not stop the next one."""
    leave_socket(tmp_path / "s")
    directory = SocketDirectory.open(tmp_path)
    directory.remove_stale("s")
    directory.close()
    assert not (tmp_path / "s").exists()


def test_nothing_there_is_nothing_to_remove(tmp_path: Path) -> None:
    """The first start finds an empty directory."""
    directory = SocketDirectory.open(tmp_path)
    directory.remove_stale("s")
    directory.close()


@pytest.mark.parametrize("kind", ["file", "directory", "symlink to a socket", "dangling symlink", "fifo"])
def test_what_is_no_socket_is_left_alone(tmp_path: Path, kind: str) -> None:
    """A wrong path on a command line must not cost a file."""
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        if kind == "symlink to a socket":
            leave_socket(tmp_path / "target")
        path.symlink_to(tmp_path / "target")
    directory = SocketDirectory.open(tmp_path)
    with pytest.raises(SocketError) as refused:
        directory.remove_stale("s")
    directory.close()
    assert str(refused.value) == f"{path} is there and is no socket: move it away, or name another"
    assert path.is_symlink() or path.exists()


@pytest.mark.parametrize("kind", ["symlink", "file", "nothing"])
def test_a_directory_is_a_directory(tmp_path: Path, kind: str) -> None:
    """Not a symlink to one: that may come to point elsewhere."""
    path = tmp_path / "d"
    if kind == "symlink":
        path.symlink_to(tmp_path)
    elif kind == "file":
        path.write_text("")
    with pytest.raises(SocketError, match=f"{path}: (Not a directory|No such file or directory)"):
        SocketDirectory.open(path)


def test_a_directory_stays_the_same_one_when_its_path_is_replaced(tmp_path: Path) -> None:
    """Who may rename it cannot make this process remove a socket elsewhere."""
    kept, other = tmp_path / "kept", tmp_path / "other"
    for path in (kept, other):
        path.mkdir()
        leave_socket(path / "s")
    directory = SocketDirectory.open(kept)
    kept.rename(tmp_path / "moved")
    kept.symlink_to(other)
    directory.remove_stale("s")
    directory.close()
    assert (other / "s").exists()
    assert not (tmp_path / "moved" / "s").exists()


def test_the_address_is_short_and_leads_to_the_directory(tmp_path: Path) -> None:
    """A unix path may have 108 bytes; that of a pod's volume has more."""
    deep = tmp_path.joinpath(*["d" * 60] * 3)
    deep.mkdir(parents=True)
    directory = SocketDirectory.open(deep)
    address = directory.address("handler.sock")
    leave_socket(Path(address.removeprefix("unix:")))
    directory.close()
    assert len(address) < 60
    assert (deep / "handler.sock").is_socket()


@pytest.mark.parametrize("name", ["a%41.sock", "%", "a b#c?d=e&f.sock", "ü.sock"])
async def test_a_socket_is_made_and_found_by_any_name(tmp_path: Path, name: str) -> None:
    """Whatever gRPC takes for an escape in it."""
    directory = SocketDirectory.open(tmp_path)
    server = grpc.aio.server()
    server.add_insecure_port(directory.address(name))
    await server.start()
    assert (tmp_path / name).is_socket()
    async with grpc.aio.insecure_channel(directory.address(name)) as channel:
        await asyncio.wait_for(channel.channel_ready(), 20)
    await server.stop(0)
    directory.close()


@pytest.mark.parametrize(("name", "there"), [("s", True), ("link", True), ("nothing", False)])
def test_stat_says_what_stands_at_a_name(tmp_path: Path, name: str, there: bool) -> None:
    """A dangling link is something, since it is not followed."""
    leave_socket(tmp_path / "s")
    (tmp_path / "link").symlink_to(tmp_path / "dangling")
    directory = SocketDirectory.open(tmp_path)
    found = directory.stat(name)
    directory.close()
    assert (found is not None) is there
