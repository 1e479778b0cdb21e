"""Finds a launcher pod's `service-status` directory below the kubelet's pods directory, without following symlinks.

Processes in the pod can change everything below the pod's volume. So the path is opened component by component, each
relative to the one before. A component on another file system is rejected, because an emptyDir is a plain directory of
the kubelet. An open directory stays the same directory when its path changes. Its identity (device and inode) shows
whether the path still leads to that directory.
"""

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from servicestatus.sockets import SocketDirectory

VOLUME: Final = "service-status"
SOCKET: Final = "handler.sock"

_VOLUMES: Final = ("volumes", "kubernetes.io~empty-dir")
_COMPONENTS: Final = (*_VOLUMES, VOLUME)
_UID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class DirectoryRefusedError(Exception):
    """A component of the path must not be used; the text names it and gives the reason."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Identifies a file on this machine."""

    device: int
    inode: int


class PodsDirectory:
    """Keeps the kubelet's pods directory open."""

    def __init__(self, path: Path) -> None:
        """Open it; raises OSError."""
        self.path = path
        self._descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._device = os.fstat(self._descriptor).st_dev

    def close(self) -> None:
        """Close the directory."""
        os.close(self._descriptor)

    def open(self, uid: str) -> tuple[SocketDirectory, Identity] | None:
        """Return the pod's `service-status` directory, or None if it has none; raises DirectoryRefusedError."""
        if not _UID.fullmatch(uid):
            return None
        path = self.path
        opened = [self._descriptor]
        try:
            for component in (uid, *_COMPONENTS):
                path /= component
                following = self._step(opened[-1], component, path)
                if following is None:
                    return None
                opened.append(following)
            kept = opened.pop()
        finally:
            for descriptor in opened[1:]:
                os.close(descriptor)
        return SocketDirectory(kept, path), _identity(os.fstat(kept))

    def identity(self, uid: str) -> Identity | None:
        """Return the identity of the pod's directory now, or None if there is none that can be used.

        It is only compared with that of an open directory; this costs two fifths of open().
        """
        path = uid
        try:
            status = self._lstat(path)
            for component in _COMPONENTS:
                if not stat.S_ISDIR(status.st_mode):
                    return None
                path = f"{path}/{component}"
                status = self._lstat(path)
        except OSError:
            return None
        return _identity(status)

    def has_volumes(self, uid: str) -> bool:
        """Return whether the kubelet holds volumes for this pod, so that its containers may run.

        A pod that has ended keeps its directory until it is deleted. Its emptyDir volumes are removed before that.
        """
        if not _UID.fullmatch(uid):
            return False
        try:
            descriptor = os.open("/".join((uid, *_VOLUMES)), _LIST_FLAGS, dir_fd=self._descriptor)
        except OSError as error:
            # Only what is certainly not there is no volume: a pod that cannot be looked at may run the VM.
            return error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
        try:
            with os.scandir(descriptor) as volumes:
                return any(volumes)
        finally:
            os.close(descriptor)

    def _lstat(self, path: str) -> os.stat_result:
        return os.stat(path, dir_fd=self._descriptor, follow_symlinks=False)

    def _step(self, descriptor: int, component: str, path: Path) -> int | None:
        try:
            following = os.open(component, _FLAGS, dir_fd=descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DirectoryRefusedError(f"{path} is not used: {error.strerror}") from error
        if os.fstat(following).st_dev != self._device:
            os.close(following)
            raise DirectoryRefusedError(f"{path} is not used: it is on another file system")
        return following


def socket_identity(directory: SocketDirectory) -> Identity | None:
    """Return the identity of the socket SOCKET in `directory`, or None if there is no socket."""
    status = directory.stat(SOCKET)
    return None if status is None or not stat.S_ISSOCK(status.st_mode) else _identity(status)


def _identity(status: os.stat_result) -> Identity:
    return Identity(status.st_dev, status.st_ino)
