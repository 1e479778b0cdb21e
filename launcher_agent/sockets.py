"""Unix sockets by paths of any length and any letters, and the lock that keeps a second agent from one.

A socket's address holds 107 bytes, and the volumes of a pod lie deep. Through a descriptor of its folder only the
socket's own name counts.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from launcher_agent.errors import AdminSocketError

#: sun_path is 108 bytes with the closing zero.
_MAX_ADDRESS: Final = 107
#: What `/proc/self/fd/NNN/` leaves of it for the name.
MAX_NAME_BYTES: Final = 80


@contextlib.contextmanager
def target(path: Path) -> Iterator[str]:
    """The gRPC target of a socket, good within the `with`. OSError if a folder must be opened and cannot."""
    if len(os.fsencode(path)) <= _MAX_ADDRESS:
        yield _target(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield _target(Path(f"/proc/self/fd/{folder}") / path.name)
    finally:
        os.close(folder)


def _target(path: Path) -> str:
    return f"unix:{quote(str(path))}"  # gRPC reads it as a URI


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the socket `path`, so that whatever lies there is stale. AdminSocketError if somebody else holds it.

    The lock is a file beside it, since binding a socket means to replace it. The file stays: taking it away would let
    two processes hold locks on two files of one name.
    """
    beside = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AdminSocketError(f"{beside} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise AdminSocketError(f"another agent serves {path} (it holds {beside})") from error
    finally:
        os.close(descriptor)
