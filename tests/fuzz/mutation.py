"""Inputs without coverage: seeds, mutated, spliced, and filled with values that parsers often get wrong."""

import random
from collections.abc import Iterator, Sequence

_TROUBLE = (
    b"\x00",
    b"\xff",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\x80" * 10,
    b"\xff\xff\xff\xff\x7f",
    b"-1",
    b"1e999",
    b"NaN",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"99999999999999999999999999",
    b"[" * 50,
    b"&a;",
    "\u2028\u202e\ud7ff".encode(),
)


def inputs(seeds: Sequence[bytes], chance: random.Random) -> Iterator[bytes]:
    """Yield inputs without end, the seeds first."""
    yield from seeds
    while True:
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 6)):
            _mutate(data, seeds, chance)
        yield bytes(data[:65_536])


def _mutate(data: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    start = chance.randint(0, len(data))
    end = min(len(data), start + chance.choice((0, 1, 2, 4, 16)))
    match chance.randrange(6):
        case 0 if data:
            data[min(start, len(data) - 1)] ^= 1 << chance.randrange(8)
        case 1:
            data[start:end] = chance.randbytes(chance.randint(0, 8))
        case 2:
            data[start:end] = chance.choice(_TROUBLE)
        case 3:
            other = chance.choice(seeds)
            data[start:] = other[chance.randint(0, len(other)) :]
        case 4:
            data[start:start] = data[start : start + chance.randint(1, 40)]
        case _:
            del data[start:end]
