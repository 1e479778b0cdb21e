"""One run: rounds of a storm each, in which hostile handlers and the real one alternate, and what came of it."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from testbed.sampler import Sampler
from tests.cluster.cgroups import Charged
from tests.hostile.behaviours import BEHAVIOURS
from tests.hostile.headroom.scene import LIMITS, MOST, Scene
from tests.hostile.limits import MIB

#: Seconds of a storm.
STORM: Final = 30.0
#: Seconds that a handler has, from the agent's call on.
TURN: Final = 3.0
#: In the table, beside the names of hostile behaviours.
HONEST: Final = "the real handler"


def need(charged: Charged) -> int:
    """Return the bytes that cannot be reclaimed."""
    return charged.anon + charged.kernel


@dataclass
class Run:
    """The plan that was carried out, and the outcome."""

    seed: int
    start: Charged
    #: By handler.
    turns: Counter[str] = field(default_factory=Counter)
    most: dict[str, Charged] = field(default_factory=dict)
    rounds: int = 0
    viewers: int = 0
    taken_over: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    longest_gap: float = 0.0
    log: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def order(seed: int) -> Iterator[str]:
    """Yield names of behaviours without end, each once before any again."""
    chance = random.Random(f"handlers {seed}")  # noqa: S311  # repeatable, not secret
    while True:
        yield from chance.sample(sorted(BEHAVIOURS), len(BEHAVIOURS))


def run(scene: Scene, seed: int, more: Callable[[Run], bool], log: Callable[[str], None] = lambda _: None) -> Run:
    """Repeat rounds while `more` returns true. `log` gets a line about each."""
    done, names, began = Run(seed, scene.start), order(seed), time.monotonic()
    try:
        while not done.rounds or more(done):
            used = _round(scene, done, names)
            log(f"round {done.rounds}: {max(map(need, done.most.values())) / MIB:.1f} MiB  {', '.join(used)}")
    except AssertionError as error:
        done.problems.append(f"{error}; the agent's log ends:\n{scene.agent.log_tail()}")
    done.seconds = time.monotonic() - began
    done.log = scene.log_size()
    done.problems += problems(done)
    return done


def _round(scene: Scene, done: Run, names: Iterator[str]) -> list[str]:
    """Return the hostile handlers that it had. After the storm, the real handler shows what is true."""
    used: list[str] = []
    left = 1 + done.rounds % 7
    with scene.storm(STORM, left, done.seed + done.rounds) as storm:
        until = time.monotonic() + STORM
        while time.monotonic() < until:
            scene.end_honest()
            used.append(next(names))
            _turn(scene, done, used[-1], lambda: scene.hostile(used[-1], TURN))
            _turn(scene, done, HONEST, lambda: scene.honest(TURN))
        result = storm.result()
        done.viewers += result.connects
        done.taken_over += result.taken_over
        _turn(scene, done, HONEST, lambda: scene.wait_shown(left))
        done.counters = scene.counters()
        storm.release()
    done.rounds += 1
    return used


def _turn(scene: Scene, done: Run, name: str, serve: Callable[[], None]) -> None:
    try:
        with Sampler(scene.charged) as memory:
            serve()
    finally:
        done.turns[name] += 1
        done.most[name] = max([*memory.values, done.most.get(name, memory.values[0])], key=need)
        done.longest_gap = max(done.longest_gap, memory.longest_gap)


def problems(done: Run) -> Iterator[str]:
    """Return what the run has shown to be wrong with the memory."""
    for name, charged in done.most.items():
        if need(charged) > MOST:
            yield f"the agent needed {need(charged) / MIB:.1f} MiB with {name}; {MOST / MIB:.1f} are allowed"


def table(done: Run) -> str:
    """Return the handlers, with what the agent needed at most with each, and the figures of the run."""
    most = max(done.most.values(), key=need)
    figures = {
        "viewers": done.viewers,
        "of these closed for another one": done.taken_over,
        "events that libvirt sent": done.counters.get("events_received", 0),
        "polls": done.counters.get("polls", 0),
        "connections to libvirt": done.counters.get("libvirt_connects", 0),
        "log, bytes": done.log,
        "longest gap between samples, ms": round(done.longest_gap * 1000),
    }
    return "\n".join([
        f"{'handler':34}{'turns':>6}{'anonymous':>11}{'kernel':>8}{'together, MiB at most':>23}",
        *(_line(name, done.turns[name], done.most[name]) for name in sorted(done.most)),
        _line("at the start", 0, done.start),
        _line("at most", done.turns.total(), most),
        f"{'allowed: 70 % of the limit':34}{MOST / MIB:48.1f}",
        f"{'the limit':34}{LIMITS.memory / MIB:48.1f}",
        "",
        f"seed {done.seed}, {done.seconds:.0f} s, {done.rounds} storms",
        *(f"{name:34}{number:9}" for name, number in figures.items()),
    ])  # fmt: skip


def _line(name: str, turns: int, charged: Charged) -> str:
    return f"{name:34}{turns:6}{charged.anon / MIB:11.1f}{charged.kernel / MIB:8.1f}{need(charged) / MIB:23.1f}"
