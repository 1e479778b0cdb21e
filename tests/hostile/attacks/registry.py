"""All attacks by name. An attack that is registered takes part in every test and run of attacks."""

from collections.abc import Callable, Iterator
from pathlib import Path

Steps = Iterator[int]
Attack = Callable[[Path], Steps]

ATTACKS: dict[str, Attack] = {}


def attack(run: Attack) -> Attack:
    ATTACKS[run.__name__.replace("_", "-")] = run
    return run
