"""Asks QEMU questions through libvirt, over read-write connections: one question at a time, each with a time limit.

libvirt passes a question to QEMU's monitor and holds the domain's job until QEMU has answered, also if the asker gives
up. If QEMU hangs, other programs then wait for the job, and libvirt names the question in their errors after 30 s. So a
second question is not asked before the first has returned, and a poll is not sent behind another program's command.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import libvirt

from launcher_agent.errors import LibvirtError, QueryError
from launcher_agent.vm.blocking_calls import DaemonThreads, start
from launcher_agent.vm.libvirt_calls import close, mapped

#: Seconds without a message of libvirtd until it is pinged, and how many pings may fail: libvirt gives up after
#: interval * (count + 1). The calls of `liveness` are more frequent, so a libvirtd that answers them is never pinged.
KEEPALIVE: Final = (3, 1)
#: Seconds. A healthy QEMU answers in 3 ms. The question for viewers at the start of a watch may wait longer than a
#: poll: nothing is observed before its answer.
_QUERY_TIMEOUT: Final = 10.0
_POLL_TIMEOUT: Final = 5.0
#: Milliseconds for which another command may have held the domain: a healthy one takes a few.
_OCCUPIED: Final = 1_000
_BUSY: Final = frozenset({libvirt.VIR_DOMAIN_CONTROL_JOB, libvirt.VIR_DOMAIN_CONTROL_OCCUPIED})


class Monitor:
    """Asks the QEMU of any domain of one libvirt."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._thread = DaemonThreads(1)
        self._kept: libvirt.virConnect | None = None
        self._kept_for = 0  # changes when the kept connection is to be closed

    async def ask(self, domain: str, command: str) -> str:
        """Return the answer to a command, over a connection for it alone. QueryError."""
        return await self._answer(lambda: self._ask_once(domain, command), _QUERY_TIMEOUT)

    async def poll(self, domain: str, command: str) -> str:
        """Return the answer to a command, over a connection that is kept for the next one. QueryError."""
        kept_for = self._kept_for
        return await self._answer(lambda: self._poll(domain, command, kept_for), _POLL_TIMEOUT)

    def end_polling(self) -> None:
        """Close the kept connection in the background."""
        self._kept_for += 1
        kept, self._kept = self._kept, None
        if kept is not None:
            start(lambda: close(kept))

    async def _answer(self, question: Callable[[], str], limit: float) -> str:
        try:
            async with asyncio.timeout(limit):
                return await self._thread.call(lambda: mapped(question))
        except TimeoutError as error:
            raise QueryError(f"QEMU has not answered within {limit:g} s") from error
        except LibvirtError as error:
            raise QueryError(f"the query to QEMU failed: {error}") from error

    # --- In the thread ----------------------------------------------------------------------------------------------

    def _ask_once(self, domain: str, command: str) -> str:
        connection = self._open()
        try:
            return _command(connection.lookupByName(domain), command)
        finally:
            close(connection)

    def _poll(self, domain: str, command: str, kept_for: int) -> str:
        kept, self._kept = self._kept, None  # `end_polling` must not close it under the question
        connection = kept or self._open()
        answered = False
        try:
            found = connection.lookupByName(domain)
            state, _, since = found.controlInfo()
            if state in _BUSY and since > _OCCUPIED:
                raise QueryError("another program has occupied QEMU's monitor for more than 1 s")
            answer = _command(found, command)
            answered = True
            return answer
        finally:
            if answered and kept_for == self._kept_for:
                self._kept = connection
            else:
                close(connection)

    def _open(self) -> "libvirt.virConnect":
        connection = libvirt.open(self._uri)
        connection.setKeepAlive(*KEEPALIVE)
        return connection


def _command(domain: "libvirt.virDomain", command: str) -> str:
    import libvirt_qemu  # noqa: PLC0415 - most agents never ask, and memory is paid for each VM

    return str(libvirt_qemu.qemuMonitorCommand(domain, command, 0))
