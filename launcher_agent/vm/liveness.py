"""Proves every few seconds that libvirt answers about the watched domain, and limits the time of every call.

While libvirtd holds the lock of a domain (a memory dump into a pipe that is not read, for example), it reports none of
the domain's events and sends no error: its keepalive goes on. Only a call about this very domain shows it, since the
call needs the same lock. The call is read-only and does not taint the domain.

A call into libvirt cannot be interrupted. One that exceeds its limit is still awaited, and is not repeated meanwhile:
each repetition would occupy another worker of libvirtd. Until it has returned, the sessions are not observed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, TypeVar

from launcher_agent.errors import LibvirtError
from launcher_agent.vm.connection import Connection
from servicestatus.clock import Sleep

T = TypeVar("T")

#: Seconds. Interval and limit together are the longest time for which the agent reports a wrong observation: the
#: promise is 10 s, up to the reader, and a report and its write take up to 2 s. A call takes less than a millisecond.
#: On a node with a load of 60, some took more than 3 s; a limit of 3 s withdrew an observation that was right.
#: The interval is below that of libvirt's keepalive, so that the answer of a call saves a ping.
_INTERVAL: Final = 2.8
TIME_LIMIT: Final = 4.5
#: Events that libvirtd held back are processed as soon as the lock is free, at the same time as the call. So one
#: answer is not enough: the second one, so many seconds later, follows them.
_CONFIRM_AFTER: Final = 0.5
_CONFIRMATIONS: Final = 2


async def limited(call: Awaitable[T], sleep: Sleep, overdue: Callable[[], None]) -> T:
    """Return what `call` returns, however late, and call `overdue` when it has exceeded the time limit."""

    async def expire() -> None:
        await sleep(TIME_LIMIT)
        overdue()

    timer = asyncio.create_task(expire())
    try:
        return await call
    finally:
        timer.cancel()


class Liveness:
    """Reports a problem when libvirt does not answer, and its end when libvirt has answered again."""

    def __init__(self, connection: Connection, sleep: Sleep, report: Callable[[str], None]) -> None:
        """`report` is called with a problem in words, and with an empty text when there is none any more."""
        self._connection = connection
        self._sleep = sleep
        self._report = report
        self._overdue = 0
        self._problem = ""
        self._answers = 0  # since the last problem
        #: The domain to ask for; None: none is known, so libvirt itself.
        self.domain: str | None = None

    async def run(self) -> NoReturn:
        """Probe until cancelled."""
        while True:
            await self._sleep(_CONFIRM_AFTER if self._problem else _INTERVAL)
            await self._probe(self.domain)

    async def limited(self, call: Awaitable[T]) -> T:
        """Return what the call returns; while it takes longer than the limit, there is a problem."""
        expired = False

        def expire() -> None:
            nonlocal expired
            expired = True
            self._overdue += 1
            self._fail(f"libvirt has not answered a call about {self._subject()} within {TIME_LIMIT:g} s")

        try:
            return await limited(call, self._sleep, expire)
        finally:
            self._overdue -= expired

    async def _probe(self, domain: str | None) -> None:
        try:
            await self.limited(self._connection.probe(domain))
        except LibvirtError as error:
            self._fail(f"libvirt cannot answer a call about {self._subject()}: {error}")
            return
        self._answers += 1
        if self._problem and not self._overdue and self._answers >= _CONFIRMATIONS:
            self._problem = ""
            self._report("")

    def _fail(self, problem: str) -> None:
        self._answers = 0
        if problem != self._problem:
            self._problem = problem
            self._report(problem)

    def _subject(self) -> str:
        return f"domain {self.domain}" if self.domain else "its domains"
