"""A side at work on a node: its handler, and the launchers of all VMIs."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.containers import Container
from bench.sides import Load, Side
from bench.stage import Crowd, Stage


@dataclass
class Work:
    """One side at work."""

    side: Side
    crowd: Crowd
    handler: Container
    load: Load


@contextmanager
def working(stage: Stage, side: Side, size: int, *, owned: bool = True) -> Iterator[Work]:
    """All launchers have been heard, and nobody is connected."""
    crowd = stage.crowd(size, owned=owned)
    with side.handler(crowd.node) as handler:
        wait_served(handler, crowd, side)
        with side.load(crowd.vmis) as load:
            load.do("sync")
            yield Work(side, crowd, handler, load)
    stage.clear(crowd)


@contextmanager
def both(stage: Stage, size: int, *, owned: bool = True) -> Iterator[tuple[Work, Work]]:
    """Both sides, each on a node of its own, so that rounds can alternate."""
    with ExitStack() as stack:
        ours, peer = (stack.enter_context(working(stage, side, size, owned=owned)) for side in stage.sides)
        yield ours, peer


def wait_served(handler: Container, crowd: Crowd, side: Side, timeout: float = 120.0) -> None:
    """Until each VMI's socket is there."""
    deadline = time.monotonic() + timeout
    for vmi in crowd.vmis:
        while not side.socket(vmi).exists():
            assert handler.running, f"{handler} has ended:\n{handler.log_tail()}"
            assert time.monotonic() < deadline, f"{vmi.name} is not served"
            time.sleep(0.01)
