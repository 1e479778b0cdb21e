"""A short run of each target, with inputs that differ from run to run; `make fuzz` is the long one."""

import random
import sys
import time

import pytest

from tests.fuzz.mutation import inputs
from tests.fuzz.targets import TARGETS

#: Seconds for each target, at least: all its seeds are tried, however long that takes.
WHILE = 3.0


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """The seed that pytest-randomly prints: `-p randomly_seed=N` repeats a run, up to its length."""
    return random.Random(request.config.getoption("randomly_seed", default=0))  # noqa: S311  # guards nothing


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_a_promise(name: str, chance: random.Random) -> None:
    """The parser reads or rejects any input, and what it has read is within bounds."""
    target, done, until = TARGETS[name], 0, time.monotonic() + WHILE
    for data in inputs(target.seeds, chance):
        try:
            target.run(data)
        except Exception as error:
            raise AssertionError(f"{name}: {data!r}") from error
        done += 1
        if done > len(target.seeds) and time.monotonic() > until:
            break
    sys.stdout.write(f"{name}: {done} inputs\n")
