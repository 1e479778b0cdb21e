"""Passes events from libvirt's thread to the event loop, in order and with a bounded queue.

libvirtd queues without limit for a subscriber that does not read, so libvirt's thread must never wait long. Nor may
this program queue without limit when its own loop is slow. So a full queue makes libvirt's thread wait for a second,
which gives the loop the interpreter. After that the queue drops this event and all later ones, and ends with
ConnectionClosed: its reader connects again and asks libvirt and QEMU for the present state.
"""

import asyncio
import contextlib
import threading
from collections import deque
from typing import Final

from launcher_agent.events import ConnectionClosed, Event

#: Tens of milliseconds of the fastest storm that QEMU was observed to cause; less than a megabyte.
_CAPACITY: Final = 2048
#: Seconds. Far below the six after which libvirt's keepalive, which needs the same thread, gives up.
_PUT_TIMEOUT: Final = 1.0
#: Events. A storm must not delay the loop's other tasks by more than some hundred microseconds.
_YIELD_AFTER: Final = 64
#: Waking the loop costs more than handling an event. A viewer that connects causes two or three events, and each is
#: handled at once. So many wake-ups, each within twice `_GATHER` seconds of the last, are a storm: then the reader
#: waits until a few events have gathered.
_STORM_WAKEUPS: Final = 8
_GATHER: Final = 0.002


class EventQueue:
    """A queue with many writers in any thread and one reader in the loop."""

    def __init__(self, capacity: int = _CAPACITY, put_timeout: float = _PUT_TIMEOUT, gather: float = _GATHER) -> None:
        """Belongs to the running loop. `put_timeout` and `gather` in seconds."""
        self._loop = asyncio.get_running_loop()
        self._capacity = capacity
        self._put_timeout = put_timeout
        self._gather = gather
        self._events: deque[Event] = deque()
        self._room = threading.Condition()
        self._lost = False
        self._arrived = asyncio.Event()
        self._signalled = False  # the loop has been woken, or is awake
        self._taken = 0
        self._storm_wakeups = 0
        self._woken = float("-inf")

    def put_from_thread(self, event: Event) -> None:
        """Append an event from another thread than the loop's; wait up to `put_timeout` for room."""
        with self._room:
            if not self._lost and self._room.wait_for(self._has_room, self._put_timeout):
                self._events.append(event)
            elif not self._lost:
                self._lost = True
                self._events.append(ConnectionClosed("events came faster than they could be read"))
            signalled, self._signalled = self._signalled, True
        if not signalled:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the program ends
                self._loop.call_soon_threadsafe(self._arrived.set)

    def put(self, event: Event) -> None:
        """Append an event from the loop itself, which cannot wait; its writers append a few at a time."""
        self._events.append(event)
        self._arrived.set()

    async def get(self) -> Event:
        """Return the next event, as soon as there is one."""
        self._taken += 1
        if self._taken % _YIELD_AFTER == 0:
            await asyncio.sleep(0)
        while not self._take_signal():
            await self._arrived.wait()
            await self._let_gather()
        with self._room:
            self._room.notify()
            return self._events.popleft()

    def _take_signal(self) -> bool:
        """Return whether there is an event; if not, have the next one wake the loop."""
        with self._room:
            if not self._events:
                self._signalled = False
                self._arrived.clear()
            return bool(self._events)

    async def _let_gather(self) -> None:
        now = self._loop.time()
        self._storm_wakeups = self._storm_wakeups + 1 if now - self._woken < 2 * self._gather else 0
        self._woken = now
        if self._storm_wakeups >= _STORM_WAKEUPS:
            await asyncio.sleep(self._gather)

    def _has_room(self) -> bool:
        return len(self._events) < self._capacity
