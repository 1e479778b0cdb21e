"""The session table: who is connected to the screen, as far as events and answers tell.

A TCP client is known by its address and port, so its phase is exact. The clients of a unix socket are a number each
(see bounds). Where the number of sessions is ambiguous the upper bound is told, since a wrong 1 is better than a
wrong 0; the exception is a table that may miss clients and may not ask for them, which tells its lower bound.

Invariants:
- sessions == started_total - ended_total, whatever happens; both only ever grow.
- The table holds at most `capacity` clients by address. Those beyond are counted like anonymous ones.
- No clock: `now` is seconds since the epoch, given by the caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from launcher_agent.events import Phase, SocketAddress
from launcher_agent.sessions.count_interval import CountInterval, unknown_interval
from launcher_agent.sessions.query_window import QueryWindow
from servicestatus import contract

_NOBODY: Final = CountInterval()


class Accuracy(Enum):
    """How far `TableView.sessions` can be trusted."""

    EXACT = auto()
    UPPER_BOUND = auto()
    LOWER_BOUND = auto()


@dataclass(frozen=True, slots=True)
class Session:
    """A session whose peer has an address. `id` is never reused."""

    id: int
    peer: SocketAddress
    started_at: float


@dataclass(frozen=True, slots=True)
class TableView:
    """The table at one moment. `since`: the last known change between nobody and somebody; None if unknowable."""

    sessions: int = 0
    pending: int = 0
    accuracy: Accuracy = Accuracy.EXACT
    since: float | None = None
    started_total: int = 0
    ended_total: int = 0
    identified: tuple[Session, ...] = ()


class SessionTable:
    """Sessions of one service of one domain."""

    def __init__(self, capacity: int = contract.MAX_IDENTIFIED) -> None:
        self._capacity = capacity
        self._sessions: dict[SocketAddress, Session] = {}
        self._pending: set[SocketAddress] = set()
        self._unsure: set[SocketAddress] = set()  # sessions that may not have finished their handshake
        self._anonymous = _NOBODY
        self._overflow = _NOBODY
        self._may_miss = False
        self._query_window: QueryWindow | None = None
        self._last_id = 0
        self._started = 0
        self._ended = 0
        self._since: float | None = None
        self.overflows = 0

    def apply(self, phase: Phase, peer: SocketAddress, now: float) -> None:
        """Take in one event."""
        if self._query_window is not None:
            self._query_window.record(phase, peer)
        if peer.anonymous:
            self._apply_anonymous(phase)
        elif phase is Phase.CONNECT:
            self._connect(peer)
        elif phase is Phase.DISCONNECT:
            self._disconnect(peer)
        elif peer in self._sessions:  # counted already, as one that may have finished: now it has
            self._unsure.discard(peer)
            return
        else:
            self._initialize(peer, now)
        self._update_totals(now, began=int(phase is Phase.INITIALIZE))

    def clear(self, now: float) -> None:
        """All sessions have ended and nobody is connected: the one moment at which everything is known."""
        self._empty()
        self._may_miss = False
        self._update_totals(now)
        if self._since is None:
            self._since = now

    def resubscribe(self) -> None:
        """Events were missed until now, so an unfinished client may have finished, or gone."""
        self._pending.clear()

    def open_query_window(self) -> None:
        """QEMU is being asked who is connected: its answer may or may not know of what happens from here on."""
        self._query_window = QueryWindow()

    def reconcile(self, clients: Sequence[SocketAddress], now: float) -> None:
        """QEMU's answer. Clients whose phase no event told are counted as sessions, until an event says more.

        The answer is right about every client that did nothing since the question, the events about those that did.
        Anonymous clients that came since then may be part of the answer, or not: to be sure they are counted besides.
        """
        window = self._query_window or QueryWindow()
        listed = [one for one in dict.fromkeys(clients) if not one.anonymous and one not in window.changed]
        proved = any(one in self._sessions and one not in self._unsure for one in listed)
        self._keep_only({*listed, *window.changed})
        self._anonymous = unknown_interval(sum(one.anonymous for one in clients) + window.risen)
        self._overflow_from(window.overflowed(self._is_known) + self._add_unsure(listed, now))
        self._may_miss = False
        self._update_totals(now)
        if not proved:
            self._since = now  # somebody, or nobody, was there all the time? Only a session that still is proves it

    def close_query_window(self) -> bool:
        """Whether nothing has happened since the question that its answer may have missed, or counted twice."""
        window, self._query_window = self._query_window, None
        return window is not None and not window.inconclusive

    def forget(self, now: float) -> None:
        """Clients may have come and gone unseen, and there is no asking: only what comes from now on is known."""
        self._empty()
        self._may_miss = True
        self._update_totals(now)
        self._since = None

    def view(self) -> TableView:
        """The table now."""
        sessions = self._started - self._ended
        connected = self._anonymous.connected + self._overflow.connected + len(self._sessions) + len(self._pending)
        return TableView(
            sessions=sessions,
            pending=min(connected - sessions, contract.MAX_SESSIONS),
            accuracy=self._accuracy(),
            since=self._since,
            started_total=self._started,
            ended_total=self._ended,
            identified=tuple(self._sessions.values()),
        )

    def _accuracy(self) -> Accuracy:
        if self._may_miss:
            return Accuracy.LOWER_BOUND
        exact = self._anonymous.exact and self._overflow.exact and not self._unsure
        return Accuracy.EXACT if exact else Accuracy.UPPER_BOUND

    def _count(self) -> int:
        if self._may_miss:
            count = len(self._sessions) + self._anonymous.least + self._overflow.least
        else:
            count = len(self._sessions) + self._anonymous.most + self._overflow.most
        return min(count, contract.MAX_SESSIONS)

    def _update_totals(self, now: float, began: int = 0) -> None:
        """Bring the totals in line with the table, and note a change between nobody and somebody.

        `began` sessions are known to have begun. What the table holds more than that began too; what it holds less
        has ended.
        """
        before, after = self._started - self._ended, self._count()
        self._started += max(began, after - before)
        self._ended = self._started - after
        if (before > 0) != (after > 0):
            self._since = now if after or not self._may_miss else None

    def _apply_anonymous(self, phase: Phase) -> None:
        if phase is Phase.CONNECT:
            self._anonymous = self._anonymous.connect()
        elif phase is Phase.INITIALIZE:
            self._anonymous = self._anonymous.initialize()
        else:
            self._anonymous = self._anonymous.disconnect()

    def _connect(self, peer: SocketAddress) -> None:
        # The same address and port again: the kernel gives it away only when the earlier connection is gone.
        self._drop(peer)
        if self._has_room():
            self._pending.add(peer)
        else:
            self.overflows += 1
            self._overflow = self._overflow.connect()

    def _initialize(self, peer: SocketAddress, now: float) -> None:
        overflowed = peer not in self._pending and self._overflow.least < self._overflow.connected
        self._pending.discard(peer)
        if self._has_room() and not overflowed:
            self._add(peer, now)
        else:
            self.overflows += not overflowed
            self._overflow = self._overflow.initialize()

    def _disconnect(self, peer: SocketAddress) -> None:
        if not self._drop(peer):
            self._overflow = self._overflow.disconnect()

    def _drop(self, peer: SocketAddress) -> bool:
        known = self._is_known(peer)
        self._pending.discard(peer)
        self._unsure.discard(peer)
        self._sessions.pop(peer, None)
        return known

    def _add(self, peer: SocketAddress, now: float) -> None:
        self._last_id += 1
        self._sessions[peer] = Session(self._last_id, peer, now)

    def _add_unsure(self, clients: Sequence[SocketAddress], now: float) -> int:
        """Take in clients that may have finished their handshake; how many found no room."""
        beyond = 0
        for client in clients:
            if self._is_known(client):
                continue
            if self._has_room():
                self._add(client, now)
                self._unsure.add(client)
            else:
                beyond += 1
        return beyond

    def _overflow_from(self, connected: int) -> None:
        self.overflows += max(0, connected - self._overflow.connected)
        self._overflow = unknown_interval(connected)

    def _is_known(self, client: SocketAddress) -> bool:
        return client in self._sessions or client in self._pending

    def _has_room(self) -> bool:
        return len(self._sessions) + len(self._pending) < self._capacity

    def _keep_only(self, listed: set[SocketAddress]) -> None:
        for client in [client for client in self._sessions if client not in listed]:
            self._drop(client)
        self._pending &= listed

    def _empty(self) -> None:
        self._sessions.clear()
        self._pending.clear()
        self._unsure.clear()
        self._query_window = None
        self._anonymous = self._overflow = _NOBODY
