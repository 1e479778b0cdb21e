"""Commands to run, independent of the process that forks them: this process, or a guardian that outlives it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Protocol, Self


@dataclass(frozen=True)
class User:
    """The user that a program runs as. Only root may choose another one than itself."""

    uid: int
    gid: int

    @classmethod
    def current(cls) -> Self:
        return cls(os.geteuid(), os.getegid())

    def switch(self) -> list[str]:
        """The options of setpriv(1) that become this user."""
        if self == User.current():
            return []
        return [f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups"]


@dataclass(frozen=True)
class Command:
    """`env` is the whole environment. Standard output and error are appended to `log`."""

    argv: list[str]
    env: dict[str, str]
    log: str
    pipe_stdin: bool = False

    @classmethod
    def build(
        cls, argv: Sequence[str | Path], log: Path, env: Mapping[str, str], user: User | None, pipe_stdin: bool
    ) -> Self:
        """For a child that ends when the thread that forked it ends, however that may come about."""
        become = ["setpriv", "--pdeathsig", "KILL", *(user or User.current()).switch(), "--"]
        return cls([*become, *map(str, argv)], {**os.environ, **env}, str(log), pipe_stdin)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Child(Protocol):
    """As much of subprocess.Popen as is needed to look after a process."""

    pid: int

    @property
    def stdin(self) -> IO[bytes] | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float = ...) -> int: ...
    def send_signal(self, sig: int) -> None: ...
