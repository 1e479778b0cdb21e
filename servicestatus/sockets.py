"""Binds unix sockets: one process for each path, and paths of any length.

Invariants:
- A path has at most one serving process, which holds a lock that the kernel releases when the process ends.
- A symlink in place of the socket's directory is not followed.
- A file that is not a socket is never removed.
"""

import contextlib
import fcntl
import os
import re
import socket
import stat
from pathlib import Path
from types import TracebackType
from typing import Final, Self

#: A name without any character that has a meaning in a URI.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]+")


class SocketError(Exception):
    """A socket cannot be used; the text names its path and the cause."""


class SocketDirectory:
    """The directory of a socket, kept open, so that it stays the same one if its path changes."""

    def __init__(self, descriptor: int, path: Path) -> None:
        """Own `descriptor`, which was opened with O_PATH. `path` is for messages."""
        self._descriptor = descriptor
        self.path = path

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the directory at `path`; raises SocketError."""
        try:
            descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise SocketError(f"{path}: {error.strerror}") from error
        return cls(descriptor, path)

    def address(self, name: str) -> str:
        """Return the gRPC address of the socket `name` in here: short enough for the 108 bytes of a unix path."""
        # gRPC parses an address as a URI and removes its escapes: they lengthen the address and not the path.
        return f"unix:{self.path_of(_escaped(name))}"

    def stat(self, name: str) -> os.stat_result | None:
        """Return the status of the file `name`, without following a symlink; None if there is none or an error."""
        try:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError:
            return None

    def remove_stale(self, name: str) -> None:
        """Remove the socket `name` that an ended process left; raises SocketError if the file is not a socket."""
        try:
            mode = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_mode
            if not stat.S_ISSOCK(mode):
                raise SocketError(f"{self.path / name} is there and is no socket: move it away, or name another")
            os.unlink(name, dir_fd=self._descriptor)
        except FileNotFoundError:
            return
        except OSError as error:
            raise SocketError(f"{self.path / name}: {error.strerror}") from error

    def remove(self, name: str, status: os.stat_result | None) -> None:
        """Remove `name` if it is still the file that `status` is of."""
        found = self.stat(name)
        if found is not None and status is not None and os.path.samestat(found, status):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._descriptor)

    def listen(self, name: str, backlog: int = 16, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """Bind the socket `name` and listen on it; raises SocketError, also if a file of this name exists."""
        listener = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC)
        try:
            listener.bind(self.path_of(name))
            listener.listen(backlog)
        except OSError as error:
            listener.close()
            raise SocketError(f"{self.path / name} cannot be bound: {error.strerror}") from error
        return listener

    def take_over(self, name: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """Listen on the socket `name` in place of one that an ended process left; raises SocketError."""
        self.remove_stale(name)
        return self.listen(name, kind=kind)

    def path_of(self, name: str) -> str:
        """Return the path by which this process can open the socket `name` in here."""
        return f"/proc/self/fd/{self._descriptor}/{name}"

    def close(self) -> None:
        """Close the directory."""
        os.close(self._descriptor)


def _escaped(name: str) -> str:
    if _PLAIN.fullmatch(name):
        return name
    # Imported here: 0.2 MiB in each agent, whose sockets have plain names.
    from urllib.parse import quote  # noqa: PLC0415

    return quote(name)


class SocketLock:
    """The lock of the process that serves a socket, on the file `SOCKET.lock`, which is not removed."""

    def __init__(self, socket_path: Path) -> None:
        """Take the lock; raises SocketError if another process has it."""
        path = socket_path.with_name(socket_path.name + ".lock")
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
        except FileNotFoundError as error:
            raise SocketError(f"{socket_path.parent} is not there: make it first, or name another socket") from error
        except OSError as error:
            raise SocketError(f"{path}: {error.strerror}") from error
        try:
            holder = self._take()
        except OSError as error:  # the file is a pipe, or the disk is full
            os.close(self._descriptor)
            raise SocketError(f"{path}: {error.strerror}") from error
        if holder is not None:
            os.close(self._descriptor)
            problem = f"{socket_path} is served by another process (pid {holder})"
            raise SocketError(f"{problem}: end it first, or name another socket")

    def _take(self) -> str | None:
        """Take the lock, or return the holder's pid; raises OSError. Others may be able to write to the file."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).strip()
            return holder.decode() if holder.isdigit() else "unknown"
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return None

    def release(self) -> None:
        """Release the lock."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
