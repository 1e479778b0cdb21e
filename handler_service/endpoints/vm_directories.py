"""Binds the sockets of `--endpoints-dir DIR`, on a host without a cluster: the VMI `default/NAME` has `DIR/NAME/`.

systemd makes the directory when the VM's agent starts (`RuntimeDirectory=`), and the handler serves it without a
restart. A name in DIR is an identity, therefore only root and the handler's user may write to DIR. A process that may
write to `DIR/NAME/` can report about that VM only. No symbolic link is followed below DIR.
"""

import contextlib
import logging
import os
import socket
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from handler_service.config import LONGEST_DOCUMENT_NAME
from handler_service.endpoints.pod_sockets import Sockets
from handler_service.endpoints.rejections import RejectionLog
from handler_service.model import Endpoint, VmiId
from handler_service.opener.messages import Identity, PodState, RefusedError
from handler_service.opener.pod_directory import SOCKET, identity, state_of
from servicestatus import names
from servicestatus.clock import Clock
from servicestatus.sockets import SocketDirectory, SocketError, SocketLock

log = logging.getLogger(__name__)

#: The namespace of each VMI: a libvirt host has none.
NAMESPACE: Final = "default"
#: Seconds in which a new directory may still belong to root: systemd makes it first, and then gives it away.
_SETTLING: Final = 2.0


class VmDirectories(Sockets):
    """Finds the directories of VMs and binds a socket in each."""

    by_opener = False

    def __init__(self, path: Path, clock: Clock, wall: Clock = time.time) -> None:
        """`wall` returns wall time. Raises SocketError if DIR cannot be used."""
        self._path = path
        self._wall = wall
        self._locks: dict[str, SocketLock] = {}
        self._log = RejectionLog(lambda text: log.warning("%s", text), clock)
        os.close(self._open())

    def names(self) -> list[str]:
        """Return the names of all VMs that have a directory now."""
        try:
            descriptor = self._open()
        except SocketError as error:
            self._log.note("directory", f"no VM is served: {error}")
            return []
        try:
            with os.scandir(descriptor) as entries:
                return sorted(entry.name for entry in entries if self._is_vm(entry))
        finally:
            os.close(descriptor)

    def endpoint(self, uid: str, vmi: VmiId) -> Endpoint:
        """Return the endpoint of the VM of this name."""
        path = str(self._path / uid / SOCKET)
        return Endpoint(id=path, vmi=vmi, socket=path)

    async def look(self, uids: Iterable[str]) -> dict[str, PodState]:
        """Return what each of the VMs has now."""
        return {name: self._state(name) for name in uids}

    async def open(self, uid: str) -> tuple[socket.socket, PodState] | None:
        """Return a VM's socket, which listens, or None if it has no directory yet; raises RefusedError, SocketError."""
        try:
            directory = SocketDirectory.open(self._path / uid)
        except SocketError:
            return None  # removed meanwhile, or replaced by something that names() reports
        with contextlib.closing(directory):
            if not os.access(directory.path_of("."), os.W_OK | os.X_OK, effective_ids=True):
                if self._is_new(self._path / uid):
                    return None
                raise RefusedError(f"{directory.path} may not be written by the handler's user")
            lock = SocketLock(directory.path / SOCKET)
            try:
                listener = directory.take_over(SOCKET)
            except BaseException:
                lock.release()
                raise
            self._locks[uid] = lock
            return listener, state_of(directory)

    async def remove(self, uid: str, state: PodState) -> None:
        """Remove the VM's socket if it is still that of `state`."""
        with contextlib.suppress(SocketError), contextlib.closing(SocketDirectory.open(self._path / uid)) as directory:
            if state_of(directory)[1:] == state[1:]:
                directory.remove(SOCKET, directory.stat(SOCKET))
        self._locks.pop(uid).release()

    def close(self) -> None:
        """Do nothing: each socket was removed, and nothing else is kept."""

    def _open(self) -> int:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise SocketError(f"{self._path}: {error.strerror}") from error
        status = os.fstat(descriptor)
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            os.close(descriptor)
            raise SocketError(f"{self._path} may be written by others than root and this user, who could name any VM")
        return descriptor

    def _is_vm(self, entry: "os.DirEntry[str]") -> bool:
        if not entry.is_dir(follow_symlinks=False):
            self._log.note(entry.name, f"{self._path / entry.name} is ignored: it is not a directory")
            return False
        if not (names.is_object_name(entry.name) and len(entry.name) <= LONGEST_DOCUMENT_NAME):
            advice = "give the agent's unit a lower-case name, and set LAUNCHER_AGENT_DOMAIN to that of the domain"
            text = f"{self._path / entry.name} is ignored: its name cannot be that of a VMI; {advice}"
            self._log.note(entry.name, text)
            return False
        return True

    def _state(self, name: str) -> PodState:
        try:
            status = (self._path / name).lstat()
        except OSError:
            return PodState()
        if not stat.S_ISDIR(status.st_mode):
            return PodState()
        return PodState(True, identity(status), self._socket(name))

    def _socket(self, name: str) -> Identity | None:
        try:
            status = (self._path / name / SOCKET).lstat()
        except OSError:
            return None
        return identity(status) if stat.S_ISSOCK(status.st_mode) else None

    def _is_new(self, path: Path) -> bool:
        try:
            changed = path.lstat().st_ctime
        except OSError:
            return True  # removed meanwhile
        return 0 <= self._wall() - changed < _SETTLING
