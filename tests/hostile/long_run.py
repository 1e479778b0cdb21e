"""Repeats a plan of attacks for as long as one likes; ends with a table, and with 1 on a problem.

MINUTES: how long (10). SEED: of a former run, whose plan is repeated.
"""

import os
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

SceneT = TypeVar("SceneT")


class Done(Protocol):
    """What a run has come to."""

    @property
    def problems(self) -> list[str]:
        """In words; none if all was right."""


DoneT = TypeVar("DoneT", bound=Done)
#: Of a scene, a seed, whether to go on, and what gets a line about each round.
Run = Callable[[SceneT, int, Callable[[DoneT], bool], Callable[[str], None]], DoneT]


def main(
    command: str,
    scene: Callable[[int], AbstractContextManager[SceneT]],
    run: Run[SceneT, DoneT],
    table: Callable[[DoneT], str],
) -> int:
    """Run `make COMMAND`, on the scene of a seed; return the exit status."""
    minutes = float(os.environ.get("MINUTES") or 10)
    seed = int(os.environ.get("SEED") or secrets.randbelow(10**6))
    _say(f"seed {seed}, {minutes:g} minutes; the same plan again: make {command} SEED={seed} MINUTES={minutes:g}")
    with scene(seed) as stage:
        began = time.monotonic()
        done = run(
            stage,
            seed,
            lambda _: time.monotonic() < began + minutes * 60,
            lambda text: _say(f"{time.monotonic() - began:6.0f} s  {text}"),
        )
    _say("\n" + table(done))
    _say("\n" + ("\n".join(done.problems) or "no problem"))
    return 1 if done.problems else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
