"""What an event costs the handler, and the API server, when viewers come and go: in a storm, and in the calm.

An event is one viewer who comes or goes: one call of the peer's launcher. Our agents merge what is waiting. Both
handlers are up all the time and take turns. Where nothing is published (the VMIs are another node's), what remains is
the price of hearing alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bench.nodes import Work, all_sides
from bench.results import Figure, Row
from bench.sides import OURS, PEER
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
    with all_sides(stage, stage.size(AGENTS)) as works:
        storm = _rounds(stage, works, STORM, stage.seconds(4))
        calm = _rounds(stage, works, CALM, stage.seconds(8))
    with all_sides(stage, stage.size(AGENTS), owned=False) as works:
        alone = _rounds(stage, works, CALM, stage.seconds(6))
    agents = stage.size(AGENTS)
    return [
        _handler_row("handler CPU per event, storm of 10,000/s over 250 VMs", storm, 0.35),
        _handler_row("handler CPU per event, calm: 1/s for each of 250 VMs", calm, 1.5),
        _handler_row("the same, nothing to publish: hearing alone", alone, None),
        _writes_row("API writes in the storm, for each VMI", storm, agents),
        _row("CPU of API server and etcd in the storm", "ms/s", storm, "server"),
        _row("CPU of API server and etcd in the calm", "ms/s", calm, "server"),
    ]


#: Of each side, by its name.
Rounds = dict[str, list[Round]]


def _rounds(stage: Stage, works: Sequence[Work], rate: float, seconds: float) -> Rounds:
    found: Rounds = {work.side.name: [] for work in works}
    for _ in range(stage.rounds(5)):
        for work in works:
            found[work.side.name].append(_round(stage, work, rate, seconds))
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


def _figures(rounds: Rounds, what: str, scale: float = 1.0) -> dict[str, Figure]:
    return {name: Figure.of([getattr(one, what) * scale for one in side]) for name, side in rounds.items()}


def _row(name: str, unit: str, rounds: Rounds, what: str) -> Row:
    return Row.of(name, unit, _figures(rounds, what))


def _handler_row(name: str, rounds: Rounds, goal: float | None) -> Row:
    figures = _figures(rounds, "handler")
    if goal is None:
        return Row.of(name, "us", figures)
    return Row.of(name, "us", figures, f"<= {goal:g} x peer", goal * figures[PEER].median)


def _writes_row(name: str, rounds: Rounds, agents: int) -> Row:
    figures = _figures(rounds, "writes", 1 / agents)
    return replace(Row.of(name, "1/s", figures, "<= 1"), reached=figures[OURS].high <= 1.0)
