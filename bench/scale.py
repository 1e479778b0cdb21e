"""Counts in virtual time what a cluster of 1,000 nodes with 50 VMs each writes; docs/scale.md has the arithmetic.

The real write scheduler runs for each of 200 nodes, with 10,000 VMIs. The result is multiplied by five. By itself:
`python -m bench.scale`.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from bench.results import Figure, Row, table
from bench.stage import Stage
from handler_service.kube.reflector import BACKOFF
from handler_service.model import DesiredStatus, Reason, VmiId
from handler_service.publishing.policy import NODE_BURST, NODE_INTERVAL
from servicestatus.rate_limit import TokenBucket
from tests.unit.handler.simulation import Fate, Simulation

NODES: Final = 200
VMS: Final = 50
#: A console is opened four times in eight hours, for ten minutes: two writes each.
CYCLE: Final = 8 * 3600 / 4
STAY: Final = 600.0
#: Within five minutes of the morning three in five VMs get their viewer.
LOGIN: Final = 300.0
LOGIN_SHARE: Final = 0.6
#: Seconds of an outage of the API server.
AWAY: Final = 600.0
#: Seconds within which all handlers notice that the API server is back: each retries its watch with full jitter.
RECONNECT: Final = BACKOFF.cap

Event = tuple[float, VmiId, int]


def measure(stage: Stage) -> list[Row]:
    """Simulated beside what is worked out on paper, as `floor`."""
    return rows(10 if stage.quick else NODES)


def rows(nodes: int) -> list[Row]:
    """So many nodes are simulated."""
    vms = VMS * 1000
    cases: list[tuple[str, Scenario, float, float]] = [
        ("in the calm", _calm, 3600.0, vms * 2 / CYCLE),
        ("in the login storm", _login, LOGIN, vms * LOGIN_SHARE / LOGIN),
        ("while all viewers change each second", _frenzy, 60.0, _most(60.0)),
        ("when all handlers restart at once", _restart, 60.0, 0.0),
        ("once the API server is back", _back, RECONNECT, vms * 2 * AWAY / CYCLE / RECONNECT),
        ("once it is back after the login storm", _back_from_login, RECONNECT, vms * LOGIN_SHARE / RECONNECT),
    ]
    return [
        Row(f"scale: writes of 50,000 VMs {name} (floor: on paper)", "1/s", *_figures(nodes, play, seconds, paper))
        for name, play, seconds, paper in cases
    ]


def _figures(nodes: int, play: "Scenario", seconds: float, paper: float) -> tuple[Figure, None, Figure]:
    return Figure.of([_cluster(nodes, play, seconds)]), None, Figure.of([paper])


def _most(seconds: float) -> float:
    """What buckets let: a burst once and then their rate, and of each VMI a write a second."""
    return 1000 * min(VMS * seconds, NODE_BURST + seconds / NODE_INTERVAL) / seconds


# --- simulated --------------------------------------------------------------------------------------------------------

#: Plays, and returns the moment from which writes are counted.
Scenario = Callable[[random.Random, list[VmiId], Simulation], float]


def _cluster(nodes: int, play: Scenario, seconds: float) -> float:
    """Writes a second of a thousand nodes."""
    return sum(_node(number, play, seconds) for number in range(nodes)) * 1000 / nodes / seconds


def _node(number: int, play: Scenario, seconds: float) -> int:
    """Writes in all."""
    simulation = Simulation(bucket=TokenBucket(NODE_BURST, NODE_INTERVAL), latency=0.01)
    vmis = [VmiId(f"node-{number}", f"vm-{index}", f"{number}-{index}") for index in range(VMS)]
    for vmi in vmis:
        simulation.set_desired(_desired(0), vmi)
    simulation.run_for(1.0)
    begin = play(random.Random(number), vmis, simulation)  # noqa: S311 - repeatable, not secret
    simulation.run(max(simulation.now, begin + seconds))
    return sum(begin <= write.at < begin + seconds for write in simulation.writes)


def _desired(sessions: int) -> DesiredStatus:
    return DesiredStatus(sessions, True, Reason.WATCHING, "", None, True, ())


def _run(simulation: Simulation, events: Iterable[Event]) -> None:
    for at, vmi, sessions in sorted(events):
        simulation.run(max(simulation.now, at))
        simulation.set_desired(_desired(sessions), vmi)


def _visits(chance: random.Random, vmis: list[VmiId], since: float, until: float) -> list[Event]:
    """Who comes and goes on a quiet day."""
    events: list[Event] = []
    for vmi in vmis:
        at = since - chance.uniform(0, CYCLE)
        while (at := at + chance.expovariate(1 / (CYCLE - STAY))) < until:
            events += [(at, vmi, 1), (at + STAY, vmi, 0)]
            at += STAY
    return [event for event in events if since <= event[0] < until]


def _calm(chance: random.Random, vmis: list[VmiId], simulation: Simulation) -> float:
    begin = simulation.now + CYCLE  # by then the day has found its pace
    _run(simulation, _visits(chance, vmis, simulation.now, begin + 3600))
    return begin


def _login(chance: random.Random, vmis: list[VmiId], simulation: Simulation) -> float:
    begin = simulation.now
    _run(simulation, [(begin + chance.uniform(0, LOGIN), vmi, 1) for vmi in vmis if chance.random() < LOGIN_SHARE])
    return begin


def _frenzy(chance: random.Random, vmis: list[VmiId], simulation: Simulation) -> float:
    """Each second a viewer more, for a minute."""
    begin = simulation.now
    _run(simulation, [(begin + second + chance.random(), vmi, second + 1) for second in range(60) for vmi in vmis])
    return begin


def _restart(chance: random.Random, vmis: list[VmiId], simulation: Simulation) -> float:
    """A handler that knows nothing, over a place that holds everything: it looks, and writes nothing."""
    begin = simulation.now
    for vmi in vmis:
        simulation.place[vmi] = chance.randrange(2)
        simulation.scheduler.forget(vmi)
    _run(simulation, [(begin + chance.uniform(0, 5), vmi, simulation.place[vmi]) for vmi in vmis])
    return begin


def _back(chance: random.Random, vmis: list[VmiId], simulation: Simulation) -> float:
    """No request is answered for ten minutes of a quiet day."""
    gone = simulation.now + CYCLE
    events = _visits(chance, vmis, simulation.now, gone + AWAY)
    _run(simulation, [event for event in events if event[0] < gone])
    return _outage(chance, simulation, [event for event in events if event[0] >= gone], gone + AWAY)


def _back_from_login(chance: random.Random, vmis: list[VmiId], simulation: Simulation) -> float:
    """No request is answered while the viewers of the morning connect."""
    gone = simulation.now
    arrivals = [(gone + chance.uniform(0, LOGIN), vmi, 1) for vmi in vmis if chance.random() < LOGIN_SHARE]
    return _outage(chance, simulation, arrivals, gone + AWAY)


def _outage(chance: random.Random, simulation: Simulation, events: Iterable[Event], back: float) -> float:
    """All jobs are lost until `back`; then the handler notices the recovery at a random moment."""
    simulation.fates = deque([Fate.LOST] * 100_000)
    _run(simulation, events)
    simulation.run(back + chance.uniform(0, RECONNECT))
    simulation.fates = deque()
    simulation.scheduler.retry(simulation.now)
    return back


if __name__ == "__main__":
    print(table(rows(NODES)))
