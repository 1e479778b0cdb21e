"""Maps libvirt's errors to those of this program, and ends what is open at a libvirt that may be away."""

import contextlib
import errno
from collections.abc import Callable
from typing import Final, TypeVar

import libvirt

from launcher_agent.errors import LibvirtError, LibvirtGoneError

T = TypeVar("T")

#: What connecting to a socket that no process serves fails with.
_NOT_SERVED: Final = frozenset({errno.ENOENT, errno.ECONNREFUSED})


def mapped(function: Callable[[], T]) -> T:
    """Return what `function` returns. LibvirtError."""
    try:
        return function()
    except libvirt.libvirtError as error:
        message = error.get_error_message() or "libvirt gave no reason"
        if error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR and error.get_int1() in _NOT_SERVED:
            raise LibvirtGoneError(message) from error
        raise LibvirtError(message) from error


def close(connection: "libvirt.virConnect") -> None:
    """Close a connection. It may block."""
    quietly(connection.close)


def quietly(end: Callable[[], object]) -> None:
    """Call a function that may fail because the connection is lost, which is known already."""
    with contextlib.suppress(libvirt.libvirtError):
        end()
