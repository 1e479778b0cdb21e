"""A short run of `make headroom`, and what its judgement detects."""

import itertools
import sys

import pytest

from tests.cluster.cgroups import Charged
from tests.hostile.behaviours import BEHAVIOURS
from tests.hostile.headroom import run as headroom
from tests.hostile.headroom.scene import LIMITS, MOST, Scene
from tests.hostile.limits import MIB

#: A fixed plan: what fails once fails again. `make headroom` tries others.
SEED = 1


@pytest.mark.timeout(900)  # a storm of 30 s, and up to 300 s for libvirtd to work it off and as long for the agent
def test_an_agent_in_a_storm_with_hostile_handlers_stays_30_percent_below_its_limit() -> None:
    """44.8 of 64 MiB; and in the end the real handler shows the true number of each service."""
    with Scene() as scene:
        done = headroom.run(scene, SEED, more=lambda _: False)
    sys.stdout.write(headroom.table(done) + "\n")
    assert done.problems == []
    assert done.rounds == 1
    assert done.turns[headroom.HONEST] >= 2
    assert done.viewers > 100
    assert done.taken_over > 0
    assert done.counters["events_received"] > 100
    assert done.counters["polls"] > 0


def test_an_agent_that_ends_is_a_problem() -> None:
    """As the kernel ends one that needs more than it may."""
    with Scene() as scene:
        scene.agent.kill()
        done = headroom.run(scene, SEED, more=lambda _: False)
    assert done.rounds == 0
    assert done.problems[0].startswith("the agent has ended with -9")


# --- the plan and the judgement ---


def test_the_limit_is_the_manifests() -> None:
    assert (LIMITS.memory, LIMITS.cpu) == (64 * MIB, 0.1)
    assert MOST // MIB == 44


def test_every_behaviour_is_used_before_any_is_used_again_and_a_seed_repeats_the_order() -> None:
    first, again, other = (list(itertools.islice(headroom.order(seed), 3 * len(BEHAVIOURS))) for seed in (1, 1, 2))
    assert first == again != other
    assert set(first[: len(BEHAVIOURS)]) == set(first[len(BEHAVIOURS) : 2 * len(BEHAVIOURS)]) == set(BEHAVIOURS)


def test_anonymous_memory_and_the_kernels_together_count_and_file_pages_do_not() -> None:
    """They can be reclaimed."""
    fits, exceeds = Charged(MOST - 100, 2 * MOST, 100), Charged(MOST - 100, 0, 101)
    judged = [headroom.problems(headroom.Run(1, fits, most={"ack-flood": most})) for most in (fits, exceeds)]
    assert [len(list(found)) for found in judged] == [0, 1]
