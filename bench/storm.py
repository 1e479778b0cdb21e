"""What an event costs the handler, and the API server, when viewers come and go: in a storm, and in the calm.

An event is one viewer who comes or goes: one call of the peer's launcher. Our agents merge what is waiting. Both
handlers are up all the time and take turns. Where nothing is published (the VMIs are another node's), what remains is
the price of hearing alone.
"""

from dataclasses import dataclass
from typing import Final

from bench.nodes import Work, both
from bench.results import Figure, Row
from bench.stage import Stage

AGENTS: Final = 250
#: Events a second over all agents.
STORM: Final = 10_000.0
CALM: Final = 250.0


@dataclass(frozen=True)
class Round:
    """Of one side. Microseconds of CPU for an event; writes a second; milliseconds of the API server's CPU a second."""

    handler: float
    writes: float
    server: float


def measure(stage: Stage) -> list[Row]:
    """Three situations."""
    with both(stage, stage.size(AGENTS)) as pair:
        storm = _rounds(stage, pair, STORM, stage.seconds(4))
        calm = _rounds(stage, pair, CALM, stage.seconds(8))
    with both(stage, stage.size(AGENTS), owned=False) as pair:
        alone = _rounds(stage, pair, CALM, stage.seconds(6))
    agents = stage.size(AGENTS)
    return [
        _handler_row("handler CPU per event, storm of 10,000/s over 250 VMs", storm, 1 / 4),
        _handler_row("handler CPU per event, calm: 1/s for each of 250 VMs", calm, 1.5),
        _handler_row("the same, nothing to publish: hearing alone", alone, None),
        _writes_row("API writes in the storm, for each VMI", storm, agents),
        _row("CPU of API server and etcd in the storm", "ms/s", storm, "server"),
        _row("CPU of API server and etcd in the calm", "ms/s", calm, "server"),
    ]


Rounds = tuple[list[Round], list[Round]]


def _rounds(stage: Stage, pair: tuple[Work, Work], rate: float, seconds: float) -> Rounds:
    found: Rounds = ([], [])
    for _ in range(stage.rounds(5)):
        for work, rounds in zip(pair, found, strict=True):
            rounds.append(_round(stage, work, rate, seconds))
    return found


def _round(stage: Stage, work: Work, rate: float, seconds: float) -> Round:
    cpu, writes, server = work.handler.cpu_seconds(), stage.writes(), stage.server_seconds()
    done = work.load.do("run", rate=rate, seconds=seconds)
    took = done["seconds"]
    # The API server's count costs it some CPU, so it is asked last.
    server = stage.server_seconds() - server
    return Round(
        handler=(work.handler.cpu_seconds() - cpu) / done["events"] * 1e6,
        writes=(stage.writes() - writes) / took,
        server=server / took * 1e3,
    )


def _figures(rounds: Rounds, what: str, scale: float = 1.0) -> tuple[Figure, Figure]:
    ours, peer = (Figure.of([getattr(one, what) * scale for one in side]) for side in rounds)
    return ours, peer


def _row(name: str, unit: str, rounds: Rounds, what: str) -> Row:
    ours, peer = _figures(rounds, what)
    return Row(name, unit, ours, peer)


def _handler_row(name: str, rounds: Rounds, goal: float | None) -> Row:
    ours, peer = _figures(rounds, "handler")
    text = "" if goal is None else f"<= {goal:g} x peer"
    return Row(name, "us", ours, peer, goal=text, reached=None if goal is None else ours.median <= goal * peer.median)


def _writes_row(name: str, rounds: Rounds, agents: int) -> Row:
    ours, peer = _figures(rounds, "writes", 1 / agents)
    return Row(name, "1/s", ours, peer, goal="<= 1", reached=ours.high <= 1.0)
