"""The connection that is kept for polls, and what closes it while a question is in flight."""

import asyncio
import threading

import libvirt
import pytest

from launcher_agent.vm import monitor
from tests.unit.agent.fakes import settle


class Opened:
    """A connection to libvirt, and its only domain."""

    def __init__(self) -> None:
        self.closed = False

    def lookupByName(self, _: str) -> "Opened":  # noqa: N802 - libvirt's name
        return self

    def controlInfo(self) -> tuple[int, int, int]:  # noqa: N802 - libvirt's name
        return libvirt.VIR_DOMAIN_CONTROL_OK, 0, 0

    def close(self) -> None:
        self.closed = True


async def test_a_connection_is_not_closed_while_a_question_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question for SPICE clients ends its use of the connection while a poll may be using it."""
    opened: list[Opened] = []
    asked, answered = threading.Event(), threading.Event()
    answered.set()

    def open_(_: monitor.Monitor) -> Opened:
        opened.append(Opened())
        return opened[-1]

    def command(connection: Opened, _: str) -> str:
        asked.set()
        answered.wait()
        return "closed" if connection.closed else "open"

    monkeypatch.setattr(monitor.Monitor, "_open", open_)
    monkeypatch.setattr(monitor, "_command", command)
    asker = monitor.Monitor("test:///default")
    assert await asker.poll("vm", "x") == "open"
    asked.clear()
    answered.clear()
    poll = asyncio.create_task(asker.poll("vm", "x"))
    await asyncio.to_thread(asked.wait)
    asker.end_polling()
    await settle()
    closed = opened[0].closed
    answered.set()
    assert await poll == "open"
    assert (len(opened), closed, opened[0].closed) == (1, False, True)
