"""Mutual exclusion between processes by names of abstract sockets: nothing is left behind, not even by SIGKILL.

The kernel gives a name to one socket at a time and releases it when its holder ends.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from testbed.waiting import wait_until


def _take(name: str) -> socket.socket | None:
    holder = socket.socket(socket.AF_UNIX)
    try:
        holder.bind(f"\0vmi-service-status/{name}")
    except OSError:
        holder.close()
        return None
    return holder


@contextmanager
def held(name: str, *, timeout: float) -> Iterator[None]:
    """Hold the name, after waiting for its holder."""
    taken = wait_until(lambda: _take(name), what=f"no other process holds {name}", timeout=timeout, interval=0.1)
    assert taken is not None
    with taken:
        yield


@contextmanager
def held_if_free(name: str) -> Iterator[bool]:
    """Hold the name and yield True, or yield False if another process holds it."""
    taken = _take(name)
    if taken is None:
        yield False
        return
    with taken:
        yield True
