"""Plans which sockets are attacked in which ways, and when. Pure: everything follows from the seed."""

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

#: Seconds of a round: longer than the 5 s after which a handler without limits was seen to grow by 100 MiB.
ROUND: Final = 10.0
#: Attacks at once, and sockets of one attack. Small numbers leave the handler time to serve each socket.
ATTACKS: Final = (1, 2, 2, 3, 4)
SOCKETS: Final = (1, 2, 5, 15, 30, 60, 60)


@dataclass(frozen=True)
class Product:
    """One attack on some of the sockets, by their numbers. Two products of a round may have sockets in common.

    An attack on the HTTP ports has none.
    """

    attack: str
    sockets: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.attack} x {len(self.sockets)}" if self.sockets else self.attack


Round = tuple[Product, ...]


def rounds(seed: int, attacks: Collection[str], sockets: int, on_ports: Collection[str] = ()) -> Iterator[Round]:
    """Yield rounds without end. Every attack, those `on_ports` too, is used once before any is used again."""
    chance = random.Random(f"attacks {seed}")  # noqa: S311  # repeatable, not secret
    waiting: list[str] = []
    while True:
        number = min(chance.choice(ATTACKS), len(attacks) + len(on_ports))
        while len(waiting) < number:
            more = [name for name in sorted([*attacks, *on_ports]) if name not in waiting]
            chance.shuffle(more)
            waiting += more
        chosen, waiting = waiting[:number], waiting[number:]
        yield tuple(Product(name, () if name in on_ports else _some(chance, sockets)) for name in chosen)


def _some(chance: random.Random, sockets: int) -> tuple[int, ...]:
    return tuple(sorted(chance.sample(range(sockets), min(sockets, chance.choice(SOCKETS)))))
