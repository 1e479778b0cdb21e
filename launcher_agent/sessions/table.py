"""The session table: which clients are connected to the display, as far as events and answers of QEMU prove.

A TCP client is identified by its address and port and by the server that it is connected to, so its phase is exact.
Clients that cannot be distinguished are counted as an interval (see count_interval): all clients of unix sockets, and
the clients of one address at a display's VNC and websocket ports, which libvirt reports with the same two addresses.
Where the number of sessions is ambiguous the table states the upper bound, since a wrong 1 is better than a wrong 0. A
table that may miss clients and may not ask for them states its lower bound.

Invariants:
- sessions == started_total - ended_total, whatever happens; both only ever grow.
- The table holds at most `capacity` addresses. Clients beyond that are counted like anonymous ones.
- An address that connects again while it is connected is a second client: QEMU reports one DISCONNECT for each CONNECT.
- No clock: `now` is seconds since the epoch, given by the caller.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from launcher_agent.events import Phase, SocketAddress
from launcher_agent.sessions.count_interval import CountInterval, unknown_interval
from launcher_agent.sessions.query_window import QueryWindow
from launcher_agent.sessions.view import Accuracy, Session, TableView
from servicestatus import contract

_NOBODY: Final = CountInterval()


class SessionTable:
    """Sessions of one service of one domain."""

    def __init__(self, capacity: int = contract.MAX_IDENTIFIED) -> None:
        self._capacity = capacity
        self._sessions: dict[SocketAddress, Session] = {}
        self._pending: set[SocketAddress] = set()
        self._unsure: set[SocketAddress] = set()  # sessions that may not have completed their handshake
        self._shared: dict[SocketAddress, CountInterval] = {}  # addresses that several clients have
        self._anonymous = self._overflow = _NOBODY
        self._may_miss = False
        self._query_window: QueryWindow | None = None
        self._last_id = 0
        self._started = 0
        self._ended = 0
        self._since: float | None = None
        self.overflows = 0

    def apply(self, phase: Phase, peer: SocketAddress, now: float) -> None:
        """Apply one event."""
        if self._query_window is not None:
            self._query_window.record(phase, peer)
        if peer.anonymous:
            self._anonymous = self._anonymous.apply(phase)
        elif peer in self._shared or (phase is Phase.CONNECT and self._is_known(peer)):
            self._apply_shared(phase, peer)
        elif phase is Phase.CONNECT:
            self._connect(peer)
        elif phase is Phase.DISCONNECT:
            self._disconnect(peer)
        elif peer in self._sessions:  # counted already, as one that may have completed its handshake: now it has
            self._unsure.discard(peer)
            return
        else:
            self._initialize(peer, now)
        self._update_totals(now, began=int(phase is Phase.INITIALIZE))

    def clear(self, now: float) -> None:
        """Record that no client is connected: the domain does not run, or its run has just begun."""
        self._empty()
        self._may_miss = False
        self._update_totals(now)
        if self._since is None:
            self._since = now

    def resubscribe(self) -> None:
        """Record that events were missed until now: a client in its handshake may have completed it, or left.

        That holds for the clients that share an address, too, whose interval is kept if QEMU lists as many as before.
        The anonymous ones are counted from the answer alone.
        """
        self._pending.clear()
        self._shared = {peer: unknown_interval(one.connected) for peer, one in self._shared.items()}

    def open_query_window(self) -> None:
        """Record that QEMU is being asked: its answer may or may not include events from here on."""
        self._query_window = QueryWindow()

    def reconcile(self, clients: Sequence[SocketAddress], now: float) -> None:
        """Apply QEMU's answer. A client whose phase no event reported counts as a session until an event says more.

        The answer is right about every client without an event since the question, the events about the others.
        Anonymous clients that came since then may or may not be part of the answer: they are counted additionally.
        """
        window = self._query_window or QueryWindow()
        counts = Counter(one for one in clients if not one.anonymous)
        window.answered(counts)
        listed = [one for one, count in counts.items() if one not in window.changed and count == 1]
        proved = any(one in self._sessions and one not in self._unsure for one in listed)
        self._keep_only({*counts, *window.changed})
        self._reconcile_shared({one: count for one, count in counts.items() if count > 1}, window)
        self._anonymous = unknown_interval(sum(one.anonymous for one in clients) + window.risen)
        self._overflow_from(window.overflowed(self._is_known) + self._add_unsure(listed, now))
        self._may_miss = False
        self._update_totals(now)
        if not proved:
            self._since = now  # only a session that was known before and still is proves an earlier moment

    def close_query_window(self) -> bool:
        """Return whether the answer is the truth: it cannot have missed an event, or counted one twice."""
        window, self._query_window = self._query_window, None
        return window is not None and not window.inconclusive

    def doubt(self, now: float, *, keep: bool) -> None:
        """Record that clients may be connected that no event reported and that may not be asked for.

        `keep`: the clients in the table are connected; without it, they may be of a time before events were missed.
        """
        if not keep:
            self._empty()
        self._may_miss = True
        self._update_totals(now)
        self._since = None

    def view(self) -> TableView:
        """Return the table's present state."""
        sessions = self._started - self._ended
        connected = len(self._sessions) + len(self._pending) + sum(one.connected for one in self._intervals())
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
        exact = all(one.exact for one in self._intervals()) and not self._unsure
        return Accuracy.EXACT if exact else Accuracy.UPPER_BOUND

    def _count(self) -> int:
        counted = sum(one.least if self._may_miss else one.most for one in self._intervals())
        return min(len(self._sessions) + counted, contract.MAX_SESSIONS)

    def _intervals(self) -> Iterator[CountInterval]:
        yield self._anonymous
        yield self._overflow
        yield from self._shared.values()

    def _update_totals(self, now: float, began: int = 0) -> None:
        """Bring the totals in line with the table, and record a change between no and some sessions.

        `began` sessions are known to have begun. A surplus in the table began too; a deficit has ended.
        """
        before, after = self._started - self._ended, self._count()
        self._started += max(began, after - before)
        self._ended = self._started - after
        if (before > 0) != (after > 0):
            self._since = now if after or not self._may_miss else None

    def _apply_shared(self, phase: Phase, peer: SocketAddress) -> None:
        """Apply an event of an address that has, or now gets, a second client."""
        interval = (self._shared.get(peer) or self._interval_of(peer)).apply(phase)
        self._drop(peer)
        if interval.connected:
            self._shared[peer] = interval

    def _reconcile_shared(self, counts: Mapping[SocketAddress, int], window: QueryWindow) -> None:
        """Count `counts` clients for each of these addresses, or more where an event since the question says so."""
        for peer, count in counts.items():
            known = self._shared.get(peer) or self._interval_of(peer)
            window.inconclusive |= peer in window.changed
            if known.connected < count or peer not in window.changed:
                self._drop(peer)
                self._shared[peer] = known if known.connected == count else unknown_interval(count)
        for peer in [peer for peer in self._shared if peer not in counts]:
            if peer in window.changed:
                window.inconclusive = True
            else:
                self._drop(peer)  # one client is left; it is added like any other that the answer lists

    def _interval_of(self, peer: SocketAddress) -> CountInterval:
        least = int(peer in self._sessions and peer not in self._unsure)
        most = int(peer in self._sessions)
        return CountInterval(int(self._is_known(peer)), least, most)

    def _connect(self, peer: SocketAddress) -> None:
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
        self._shared.pop(peer, None)
        self._sessions.pop(peer, None)
        return known

    def _add(self, peer: SocketAddress, now: float) -> None:
        self._last_id += 1
        self._sessions[peer] = Session(self._last_id, peer, now)

    def _add_unsure(self, clients: Sequence[SocketAddress], now: float) -> int:
        """Add clients that may have completed their handshake; return how many found no room."""
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
        return client in self._sessions or client in self._pending or client in self._shared

    def _has_room(self) -> bool:
        return len(self._sessions) + len(self._pending) + len(self._shared) < self._capacity

    def _keep_only(self, listed: set[SocketAddress]) -> None:
        for client in [client for client in (*self._sessions, *self._shared) if client not in listed]:
            self._drop(client)
        self._pending &= listed

    def _empty(self) -> None:
        self._sessions.clear()
        self._pending.clear()
        self._unsure.clear()
        self._shared.clear()
        self._query_window = None
        self._anonymous = self._overflow = _NOBODY
