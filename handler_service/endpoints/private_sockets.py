"""A directory for sockets that nobody but this process may reach: the gRPC servers behind the gates."""

import itertools
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from servicestatus.sockets import SocketDirectory, SocketError


class PrivateSockets:
    """Names in a directory of mode 0700, which stays. Who holds the lock of the admin socket beside it, owns it."""

    def __init__(self, path: Path) -> None:
        """Make the directory, or take over that of an earlier run; raises SocketError."""
        try:
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise SocketError(f"{path}: {error.strerror}") from error
        self.directory = SocketDirectory.open(path)
        self._numbers = itertools.count(1)
        found = self.directory.stat(".")
        if found is None or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            self.directory.close()
            raise SocketError(f"{path} is open to others")

    def new_name(self) -> str:
        """A name at which nothing stands; raises SocketError."""
        name = str(next(self._numbers))
        self.directory.remove_stale(name)
        return name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.directory.close()
