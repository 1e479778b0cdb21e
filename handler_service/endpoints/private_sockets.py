"""Keeps the directory of the sockets that only this process may reach: those of the gRPC servers behind the proxies."""

import itertools
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from servicestatus.sockets import SocketDirectory, SocketError


class PrivateSockets:
    """Gives out names in a directory of mode 0700. The owner is the process that holds the admin socket's lock."""

    def __init__(self, path: Path) -> None:
        """Create the directory, or use that of an earlier run; raises SocketError."""
        try:
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise SocketError(f"{path}: {error.strerror}") from error
        self.directory = SocketDirectory.open(path)
        self._numbers = itertools.count(1)
        found = self.directory.stat(".")
        if found is None or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            self.directory.close()
            raise SocketError(f"{path} is open to other users: remove it, or set its owner and the mode 0700")

    def new_name(self) -> str:
        """Return an unused name; raises SocketError."""
        name = str(next(self._numbers))
        self.directory.remove_stale(name)
        return name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.directory.close()
