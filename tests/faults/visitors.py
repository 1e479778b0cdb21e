"""Viewers of one VM that come, stay, disconnect each other and go at random, and a record of their times."""

import dataclasses
import random
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from testbed.addresses import Address
from testbed.pool import ViewerPool
from testbed.rfb import HandshakeRefusedError, Viewer
from tests.faults.record import FOREVER, Session

#: Seconds between two acts of viewers.
PAUSE = (0.05, 1.5)
#: Seconds that a step of a handshake may take: then a frozen QEMU is given up.
STEP_TIMEOUT = 3.0
#: QEMU takes 32; a real VM has a few.
MOST = 4
FAILED = (HandshakeRefusedError, OSError, TimeoutError)


class Visitors:
    """Acts in its own thread from enter to exit, except while `quiet` holds."""

    def __init__(self, address: Address, seed: str) -> None:
        self._address = address
        self._chance = random.Random(seed)  # noqa: S311  # repeatable, not secret
        self._pool = ViewerPool()
        # Held during an act, and by `quiet`.
        self._busy = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"visitors {address}", daemon=True)
        self._there: dict[Viewer, int] = {}
        self.sessions: list[Session] = []
        self.connects = 0

    def __enter__(self) -> Self:
        self._pool.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        self._pool.__exit__(kind, error, traceback)

    def quiet(self) -> None:
        """No viewer comes or goes any more, and none is in the middle of a handshake."""
        self._busy.acquire()
        self._notice()
        for viewer in [viewer for viewer in self._there if not viewer.established]:
            self._leave(viewer, viewer.close)

    def go_on(self) -> None:
        self._busy.release()

    def thrown_out(self, act: Callable[[], None]) -> None:
        """`act` ends QEMU, and every session with it, at some time between its begin and its end."""
        before = time.monotonic()
        act()
        with self._busy:
            for viewer, number in self._there.items():
                self._end(number, max(before, self.sessions[number].may_begin))
                viewer.close()
            self._there.clear()

    def _run(self) -> None:
        while not self._ending.wait(self._chance.uniform(*PAUSE)):
            with self._busy:
                self._notice()
                self._step()

    def _step(self) -> None:
        choice = self._chance.random()
        if not self._there or (choice < 0.45 and len(self._there) < MOST):
            self._come(shared=True)
        elif choice < 0.6:
            self._come(shared=False)
        elif choice < 0.7 and len(self._there) < MOST:
            self._half_come()
        else:
            viewer = self._chance.choice(list(self._there))
            self._leave(viewer, self._chance.choice([viewer.close, viewer.abort]))

    def _come(self, *, shared: bool) -> None:
        """An exclusive viewer disconnects the others, from the beginning of its handshake on."""
        viewer = self._connect()
        if viewer is None:
            return
        number = self._there[viewer]
        try:
            viewer.handshake(shared=shared)
        except FAILED:
            self._leave(viewer, viewer.close)
            return
        begun = self.sessions[number]
        self.sessions[number] = dataclasses.replace(begun, must_begin=time.monotonic())
        if not shared:
            for other in [other for other in self._there if other is not viewer]:
                self._end(self._there.pop(other), begun.may_begin)
                other.close()

    def _half_come(self) -> None:
        """Connect and send nothing: this is no session, but a count of connections cannot always know that."""
        self._connect()

    def _connect(self) -> Viewer | None:
        before = time.monotonic()
        try:
            viewer = self._pool.connect(self._address, STEP_TIMEOUT)
        except FAILED:
            return None
        self.connects += 1
        self._there[viewer] = len(self.sessions)
        self.sessions.append(Session(before, FOREVER))
        return viewer

    def _leave(self, viewer: Viewer, how: Callable[[], None]) -> None:
        self._end(self._there.pop(viewer), time.monotonic())
        how()

    def _notice(self) -> None:
        """Record those that QEMU has closed: it was killed, or restarted."""
        for viewer in [viewer for viewer in self._there if viewer.established and viewer.closed_by_server]:
            self._leave(viewer, viewer.close)

    def _end(self, number: int, at: float) -> None:
        self.sessions[number] = dataclasses.replace(self.sessions[number], end=at)
