"""A real handler process with several enemies' sockets and a neighbour's, and the eyes on both."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.processes import ManagedProcess, script
from testbed.sampler import Sampler
from testbed.waiting import wait_until
from tests.apiserver.peers import GONE, Peers

NAMESPACE = "default"
ENEMIES = 8
#: A single socket is attacked first, until the handler has grown no more by that for so many seconds: what the process
#: needs once, for any attack, is allocated then. An attack that makes it grow without limit breaks the bound.
STEADY = 0.7
STEADY_WITHIN = 64 * 1024
STEADY_TIMEOUT = 10.0
#: Seconds for which many sockets are attacked at once. The handler before was killed after 12.
TOGETHER = 12.0
#: Seconds within which an honest agent must be served after an attack, and an attacker ends: only a hang takes so long.
SERVED_AGAIN = 60.0
ENDED = 60.0


@dataclass(frozen=True)
class Result:
    """What an attack did."""

    #: Bytes that the handler grew by for each attacked socket, beyond the first one.
    grown: int
    #: And altogether, for all of them, what a first such attack costs the process included.
    total: int
    #: Seconds until the neighbour's word could be read, at worst.
    latency: float
    #: How often the attackers did what they do.
    units: int
    #: Of each attacked socket.
    lines: list[list[str]]
    #: Of the whole log.
    log: str
    survived: bool

    def __str__(self) -> str:
        repeated = max(len(lines) for lines in self.lines)
        return (
            f"{self.grown / 1024:5.0f} KiB a socket, {self.total / 1024:5.0f} KiB in all;"
            f" neighbour {self.latency:.1f} s; {self.units} units; {repeated} lines of one;"
            f" {len(self.log)} bytes of log"
        )


@dataclass(frozen=True)
class Together:
    """What an attack on all sockets at once did."""

    #: Bytes that the handler grew by.
    grown: int
    #: Seconds of CPU that it used in each second.
    busy: float
    latency: float
    units: int
    log: int
    survived: bool

    def __str__(self) -> str:
        return (
            f"{self.grown / 1024**2:.1f} MiB in all, {100 * self.busy:.0f} % of a core; neighbour {self.latency:.1f} s;"
            f" {self.units} units, {self.log} bytes of log"
        )


class Stage:
    """One handler without a cluster: its endpoints are served by the very code that serves a pod's."""

    def __init__(self, peers: Peers, *flags: str, enemies: int = ENEMIES) -> None:
        """Start nothing. `peers` are the honest agents; `flags` are added to the handler's."""
        self.directory = Path(tempfile.mkdtemp(prefix="vss-hostile-"))
        self.documents = self.directory / "vmis"
        self.documents.mkdir()
        self.enemies = [self.directory / f"enemy-{number}.sock" for number in range(enemies)]
        self._neighbour_socket = self.directory / "neighbour.sock"
        sockets = [*self.enemies, self._neighbour_socket]
        self.handler = ManagedProcess(
            [
                script("handler-service"),
                f"--file-dir={self.documents}",
                f"--admin-socket={self.directory / 'admin.sock'}",
                *(f"--endpoint={NAMESPACE}/{socket.stem}={socket}" for socket in sockets),
                *flags,
            ],
            log=self.directory / "handler.log",
        )
        self._peers = peers

    def __enter__(self) -> Self:
        self.handler.start()
        self.neighbour = self._peers.connect(self._neighbour_socket)
        self.neighbour.wait_published()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.neighbour.close()
        self.handler.kill()
        shutil.rmtree(self.directory)

    def suffer(self, attack: str) -> Result:
        """One socket is attacked, then all: what the others add to the handler's memory is what a socket costs."""
        before = self.memory()
        with Sampler(self.memory) as alone, self._attack(attack, self.enemies[:1]):
            _wait_steady(alone)
        with Sampler(self.memory) as together, self._attack(attack, self.enemies) as attacker:
            # Two changes: the second one shows that the first was no luck.
            latency = max(self.neighbours_word(sessions) for sessions in (1, 2))
        most = max(together.values)
        return Result(
            grown=max(0, most - max(alone.values)) // (ENEMIES - 1),
            total=most - before,
            latency=latency,
            units=attacker.units,
            lines=[self._lines(socket) for socket in self.enemies],
            log=self.handler.log_text(),
            survived=self.handler.running and all(self._still_served(socket) for socket in self.enemies),
        )

    def suffer_together(self, attack: str) -> "Together":
        """All sockets are attacked at once, for some seconds."""
        before = self.memory()
        with Sampler(self.memory) as memory, self._attack(attack, self.enemies) as attacker:
            cpu, start = self.handler.cpu_seconds(), time.monotonic()
            latencies = [self.neighbours_word(1)]
            while time.monotonic() < start + TOGETHER:
                latencies.append(self.neighbours_word(1 + len(latencies) % 2))
            busy = (self.handler.cpu_seconds() - cpu) / (time.monotonic() - start)
        return Together(
            grown=max(memory.values) - before,
            busy=busy,
            latency=max(latencies),
            units=attacker.units,
            log=len(self.handler.log_text()),
            survived=self.handler.running and self._still_served(self.enemies[0]),
        )

    def sessions(self, name: str) -> int:
        """`status.serviceStatus.vncSessions` of a VMI; 0 where it is absent."""
        document = json.loads((self.documents / NAMESPACE / f"{name}.json").read_text())
        found: int = document["status"].get("serviceStatus", {}).get("vncSessions", 0)
        return found

    def neighbours_word(self, sessions: int) -> float:
        start = time.monotonic()
        self.neighbour.report(sessions)
        what = f"{sessions} at the neighbour's"
        wait_until(lambda: self.sessions("neighbour"), lambda seen: seen == sessions, what=what)
        return time.monotonic() - start

    def _still_served(self, socket: Path) -> bool:
        """Return whether an honest agent is served again after the attack.

        It dials again as an agent does: what the enemy has used up of the socket's allowance comes back in seconds.
        """
        deadline = time.monotonic() + SERVED_AGAIN
        while time.monotonic() < deadline:
            with suppress(AssertionError, *GONE):
                peer = self._peers.connect(socket, sessions=3)
                peer.wait_accepted()
                peer.close()
                return True
        return False

    def memory(self) -> int:
        """Anonymous bytes: what the program itself has filled."""
        return self.handler.memory().anonymous

    def _lines(self, socket: Path) -> list[str]:
        return [line for line in self.handler.log_text().splitlines() if f"{NAMESPACE}/{socket.stem}:" in line]

    def _attack(self, name: str, sockets: list[Path]) -> "Attacker":
        return Attacker(name, sockets)


class Attacker:
    """A process of its own, so that it shares no interpreter with the neighbour."""

    def __init__(self, name: str, targets: Sequence[Path | int]) -> None:
        """The targets are sockets or ports of this machine."""
        self._argv = [sys.executable, "-m", "tests.hostile", name, *map(str, targets)]
        self.units = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"begins\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Its standard input ends, and with it the attack.
        self.units = json.loads(self._process.communicate(timeout=ENDED)[0] or "0")


def _wait_steady(memory: Sampler[int]) -> None:
    """Wait until its highest value is STEADY seconds old, at most STEADY_TIMEOUT seconds."""
    most, since = 0, time.monotonic()
    deadline = since + STEADY_TIMEOUT
    while (now := time.monotonic()) < min(since + STEADY, deadline):
        if memory.values and max(memory.values) > most + STEADY_WITHIN:
            most, since = max(memory.values), now
        time.sleep(0.02)


def suffer(attack: str, peers: Peers) -> Result:
    """On a stage of its own."""
    with Stage(peers) as stage:
        return stage.suffer(attack)


def suffer_together(attack: str, enemies: int, peers: Peers) -> Together:
    """On a stage of its own."""
    with Stage(peers, enemies=enemies) as stage:
        return stage.suffer_together(attack)
