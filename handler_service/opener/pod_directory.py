"""Finds a launcher pod's `service-status` directory below the kubelet's pods directory, without following symlinks.

Processes in the pod can change everything below the pod's volume. So the path is opened component by component, each
relative to the one before. A component on another file system is rejected, because an emptyDir is a plain directory of
the kubelet. An open directory stays the same directory when its path changes. Its identity (device and inode) shows
whether the path still leads to that directory.
"""

import errno
import os
import stat
from pathlib import Path
from typing import Final

from handler_service.opener.messages import SOCKET_PATH, Identity, PodState, RefusedError, is_uid
from servicestatus.sockets import SocketDirectory

*_DIRECTORIES, SOCKET = SOCKET_PATH.split("/")
_COMPONENTS: Final = tuple(_DIRECTORIES)
_VOLUMES: Final = "/".join(_COMPONENTS[:2])
_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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

    def open(self, uid: str) -> SocketDirectory | None:
        """Return the pod's `service-status` directory, or None if it has none; raises RefusedError."""
        if not is_uid(uid):
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
            return SocketDirectory(opened.pop(), path)
        finally:
            for descriptor in opened[1:]:
                os.close(descriptor)

    def look(self, uid: str) -> PodState:
        """Return what the pod has now. It is only compared; this costs two fifths of open()."""
        if not is_uid(uid):
            return PodState()
        path = uid
        try:
            status = self._lstat(path)
            for component in _COMPONENTS:
                if not stat.S_ISDIR(status.st_mode):
                    return PodState(self._has_volumes(uid))
                path = f"{path}/{component}"
                status = self._lstat(path)
        except OSError:
            return PodState(self._has_volumes(uid))
        if not stat.S_ISDIR(status.st_mode):
            return PodState(volumes=True)
        try:
            socket = self._lstat(f"{path}/{SOCKET}")
        except OSError:
            return PodState(volumes=True, directory=identity(status))
        return PodState(True, identity(status), identity(socket) if stat.S_ISSOCK(socket.st_mode) else None)

    def _has_volumes(self, uid: str) -> bool:
        """Return whether the kubelet holds volumes for this pod, so that its containers may run.

        A pod that has ended keeps its directory until it is deleted. Its emptyDir volumes are removed before that.
        """
        try:
            descriptor = os.open(f"{uid}/{_VOLUMES}", _LIST_FLAGS, dir_fd=self._descriptor)
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
            raise RefusedError(f"{path} is not used: {error.strerror}") from error
        if os.fstat(following).st_dev != self._device:
            os.close(following)
            raise RefusedError(f"{path} is not used: it is on another file system")
        return following


def state_of(directory: SocketDirectory) -> PodState:
    """Return the state of a pod whose open `directory` this is."""
    status = directory.stat(".")
    socket = directory.stat(SOCKET)
    return PodState(
        volumes=True,
        directory=None if status is None else identity(status),
        socket=None if socket is None or not stat.S_ISSOCK(socket.st_mode) else identity(socket),
    )


def identity(status: os.stat_result) -> Identity:
    """Return the identity of the file that `status` is of."""
    return Identity(status.st_dev, status.st_ino)
