"""A scripted agent on its own socket: it reports numbers, and records which of them the handler acknowledged.

Its numbers belong to no viewer, so each is true by definition, and the handler's acks can be compared with what the API
showed.
"""

import random
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.waiting import WaitTimeoutError
from tests.apiserver.peers import GONE, Peer, Peers
from tests.faults.record import Ack, Session

#: Seconds between two numbers.
PAUSE = (0.1, 2.5)
MOST = 4
#: Seconds between two checks for an ack.
LOOK = 0.005


class Witness:
    """Reports in its own thread from enter to exit, except while `quiet` holds."""

    def __init__(self, socket: Path, seed: str) -> None:
        self._chance = random.Random(seed)  # noqa: S311  # repeatable, not secret
        self._peers = Peers()
        self._peer: Peer = self._peers.new(socket)
        self._ending = threading.Event()
        self._quiet = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)
        #: The reports on the current stream: their times and numbers, by sequence.
        self._said: dict[int, tuple[float, int]] = {}
        self._there: list[int] = []
        self.sessions: list[Session] = []
        self.acks: list[Ack] = []
        self.streams = 0

    def __enter__(self) -> Self:
        self._peers.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        self._peers.__exit__(kind, error, traceback)

    def quiet(self) -> None:
        """It reports nothing new; its stream is kept, and opened again when it is lost."""
        self._quiet.set()

    def go_on(self) -> None:
        self._quiet.clear()

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._peer.connect(timeout=2.0)
                self.streams += 1
                self._said.clear()
                self._say(len(self._there), snapshot=True)
                while self._peer.ended is None and not self._ending.is_set():
                    self._listen(self._chance.uniform(*PAUSE))
                    if not self._quiet.is_set():
                        self._say(self._chance.randrange(MOST + 1))
            except (*GONE, WaitTimeoutError):
                self._ending.wait(0.1)

    def _say(self, number: int, *, snapshot: bool = False) -> None:
        """A number that could not be sent may or may not have arrived; only the handler knows."""
        before = time.monotonic()
        self._account(number, before)
        sequence = self._peer.snapshot(number) if snapshot else self._peer.report(number)
        self._said[sequence] = before, number

    def _account(self, number: int, now: float) -> None:
        while len(self._there) > number:
            last = self._there.pop()
            begun = self.sessions[last]
            self.sessions[last] = Session(begun.may_begin, begun.must_begin, now)
        while len(self._there) < number:
            self._there.append(len(self.sessions))
            self.sessions.append(Session(now, now))

    def _listen(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        published = 0
        while time.monotonic() < until and self._peer.ended is None:
            now_published = self._peer.ack.published
            if now_published != published and now_published in self._said:
                published = now_published
                said, number = self._said[published]
                self.acks.append(Ack(said, time.monotonic(), number))
            if self._ending.wait(LOOK):
                return
