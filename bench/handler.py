"""Measures the handler of a full node: its memory, its memory after a burst of connections, its start, and whether the
cost of an agent grows with the number of agents."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench.nodes import Work, wait_served, working
from bench.results import Figure, Row
from bench.sides import Side
from bench.stage import Stage
from testbed.waiting import wait_until
from tests.apiserver.vmis import Vmi

MIB: Final = 1 << 20
SIZES: Final = (10, 100, 250, 1000)
#: Events of each agent per second, in addition to its heartbeats.
RATE: Final = 0.2
#: Concurrent connections to each of 250 sockets, next to its agent's (ours accepts three), and rounds: 2,000 in all.
BURST: Final = 2
WAVES: Final = 4
#: Seconds without a handler: by then each agent has reached its longest backoff.
AWAY: Final = 10.0
#: Seconds without a write, after which all values are published. Both sides write many values per second while any is
#: pending. Values that a run has left pending would otherwise be written after the restart, at the node's rate limit.
REST: Final = 3.0
#: Seconds without an event: four heartbeats of each agent.
IDLE: Final = 20.0
#: A client's first bytes: HTTP/2's preface and empty settings, so that the server takes it for an HTTP/2 connection.
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@dataclass
class Found:
    """Results of one side for a number of agents: bytes, CPU as a share of a core, and seconds."""

    agents: int
    resident: int
    anon: int
    cpu: float
    after_burst: int = 0
    restart: float = 0.0
    #: A share of a core, without any event.
    rest: float = 0.0


def measure(stage: Stage) -> list[Row]:
    """Measure each size once for each side, in turns."""
    found = [{side.name: _of(stage, side, size) for side in stage.sides} for size in SIZES]
    few, many, node, thousand = found
    return [
        _memory(node, "250 agents", 75),
        _memory(thousand, "1,000 agents", 115),
        _anon(node, "250 agents"),
        _anon(thousand, "1,000 agents"),
        _row(
            "handler memory after 2,000 connections, to before", "x",
            {name: one.after_burst / one.resident for name, one in node.items()}, "<= 1.2", 1.2,
        ),
        _row(
            "handler start, 1,000 agents waiting: all are proved again", "s",
            {name: one.restart for name, one in thousand.items()}, "<= 4", 4,
        ),
        _row(
            "handler CPU at rest, 250 agents", "ms/s",
            {name: one.rest * 1e3 for name, one in node.items()}, "<= 35", 35,
        ),
        *(_growth(of, f"growth: handler CPU for each of {size:,} agents") for size, of in zip(SIZES, found)),  # noqa: B905 - as many
        _row("growth: handler memory for each agent from 10 to 100", "KiB", _slopes(few, many)),
        _row("growth: handler memory for each agent from 100 to 1,000", "KiB", _slopes(many, thousand)),
    ]  # fmt: skip


def _of(stage: Stage, side: Side, size: int) -> Found:
    with working(stage, side, stage.size(size)) as work:
        time.sleep(stage.seconds(1))
        agents, resident, anon = len(work.crowd.vmis), work.handler.memory().resident, work.handler.charged().anon
        cpu = work.handler.cpu_seconds()
        seconds = work.load.do("run", rate=RATE * agents, seconds=stage.seconds(5))["seconds"]
        found = Found(agents, resident, anon, (work.handler.cpu_seconds() - cpu) / seconds)
        if size == SIZES[2]:
            found.rest = _at_rest(stage, work)
            found.after_burst = _after_burst(work)
        if size == SIZES[3]:
            found.restart = _restart(stage, work)
        return found


def _at_rest(stage: Stage, work: Work) -> float:
    """Return the share of a core that heartbeats and keepalive take, after all values are written."""
    _rest(stage)
    cpu, begin = work.handler.cpu_seconds(), time.monotonic()
    time.sleep(stage.seconds(IDLE))
    return (work.handler.cpu_seconds() - cpu) / (time.monotonic() - begin)


def _after_burst(work: Work) -> int:
    """Return the resident bytes of the handler 3 s after a burst of connections."""
    for _ in range(WAVES):
        with contextlib.ExitStack() as stack:
            for vmi in work.crowd.vmis:
                for _ in range(BURST):
                    stack.enter_context(_connect(work.side, vmi))
            time.sleep(1)
    time.sleep(3)
    return work.handler.memory().resident


@contextlib.contextmanager
def _connect(side: Side, vmi: Vmi) -> Iterator[None]:
    path = side.socket(vmi)
    directory = os.open(path.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(f"/proc/self/fd/{directory}/{path.name}")
            connection.sendall(_PREFACE)
            yield
    finally:
        os.close(directory)


def _restart(stage: Stage, work: Work) -> float:
    """Return the seconds from a handler's start until every agent has reported and all published values are checked."""
    _rest(stage)
    work.handler.kill()
    time.sleep(stage.seconds(AWAY))
    begin = time.monotonic()
    work.handler.start()
    work.load.do("sync")
    took = time.monotonic() - begin
    wait_served(work.handler, work.crowd, work.side)
    return took


def _rest(stage: Stage) -> None:
    """Wait until no write is pending."""

    def rests() -> bool:
        before = stage.writes()
        time.sleep(stage.seconds(REST))
        return stage.writes() == before

    wait_until(rests, what="nothing waits to be written", timeout=120)


def _growth(found: dict[str, Found], name: str) -> Row:
    return _row(name, "us/s", {side: one.cpu * 1e6 / one.agents for side, one in found.items()})


def _slopes(fewer: dict[str, Found], more: dict[str, Found]) -> dict[str, float]:
    pairs = {side: (few, more[side]) for side, few in fewer.items()}
    return {side: (b.resident - a.resident) / 1024 / max(1, b.agents - a.agents) for side, (a, b) in pairs.items()}


def _memory(found: dict[str, Found], what: str, goal: float) -> Row:
    resident = {side: one.resident / MIB for side, one in found.items()}
    return _row(f"handler memory, resident, {what}", "MiB", resident, f"<= {goal:g}", goal)


def _anon(found: dict[str, Found], what: str) -> Row:
    return _row(
        f"handler memory, its cgroup: anon, {what}", "MiB", {side: one.anon / MIB for side, one in found.items()}
    )


def _row(name: str, unit: str, values: dict[str, float], goal: str = "", limit: float | None = None) -> Row:
    return Row.of(name, unit, {side: Figure.of([value]) for side, value in values.items()}, goal, limit)
