"""Attacks in combination: a short run of `make attack`, and what its judgement detects."""

import itertools
import sys

import pytest

from tests.hostile.attacks import ATTACKS
from tests.hostile.combined import judge, plan
from tests.hostile.combined import run as combined
from tests.hostile.combined.judge import Said, Shown
from tests.hostile.combined.scene import HONEST, HOSTILE, Scene
from tests.hostile.http_attacks import HTTP_ATTACKS

#: A fixed plan: what fails once fails again. `make attack` tries others.
SEED = 4
ROUNDS = 3


@pytest.mark.timeout(300)  # the control plane, three rounds, and up to 10 s for the last values
def test_attacks_in_combination_neither_end_nor_fill_the_handler_nor_delay_honest_values() -> None:
    """In the DaemonSet's 256 MiB: below 128 MiB, each honest value within 10 s, no viewer denied."""
    with Scene(SEED) as scene:
        done = combined.run(scene, SEED, more=lambda run: len(run.rounds) < ROUNDS)
    sys.stdout.write(combined.table(done) + "\n")
    assert done.problems == []
    assert len(done.delays) > 2 * HONEST, "each honest VM has changed once or more, on average"


# --- the plan ---


def test_a_seed_repeats_its_plan() -> None:
    """Another one makes another plan."""
    first, again, other = (list(itertools.islice(plan.rounds(seed, ATTACKS, HOSTILE), 9)) for seed in (1, 1, 2))
    assert first == again != other


def test_every_attack_is_used_before_any_is_used_again() -> None:
    """So a run that is long enough has had all of them, also those that were added last."""
    names = {*ATTACKS, *HTTP_ATTACKS}
    used: list[plan.Product] = []
    for products in plan.rounds(3, ATTACKS, HOSTILE, HTTP_ATTACKS):
        used += products
        if len(used) >= len(names):
            break
    assert {product.attack for product in used[: len(names)]} == names
    assert all(bool(product.sockets) == (product.attack in ATTACKS) for product in used)


# --- the judgement ---

ZERO, ONE, UNKNOWN = Said(0.0, 0, True), Said(10.0, 1, True), Said(20.0, 1, False)
SHOWS_ZERO, SHOWS_ONE = Shown(0.5, 0, True, True), Shown(10.1, 1, True, False)


def test_a_value_is_as_late_as_its_companion() -> None:
    """A report that is what the companion shows already is not late."""
    assert judge.delays([ZERO, ONE], [SHOWS_ZERO, SHOWS_ONE], 20.0) == pytest.approx([0.5, 0.1])
    assert judge.delays([ZERO, Said(5.0, 0, True)], [SHOWS_ZERO], 20.0) == [0.5, 0.0]


def test_a_value_that_is_never_shown_is_late_until_the_end() -> None:
    """An unknown number must be marked, even if the number shown is right."""
    assert judge.delays([ZERO, ONE], [SHOWS_ZERO], 40.0) == [0.5, 30.0]
    assert judge.delays([ZERO, ONE, UNKNOWN], [SHOWS_ZERO, SHOWS_ONE], 40.0)[2] == 20.0


def test_a_value_that_was_superseded_is_shown_by_its_successor() -> None:
    """What waits is merged."""
    shown = [SHOWS_ZERO, Shown(13.0, 2, True, False)]
    assert judge.delays([ZERO, ONE, Said(11.0, 2, True)], shown, 20.0) == [0.5, 3.0, 2.0]


def test_a_companion_without_viewers_is_false_if_the_agent_has_had_one_for_ten_seconds() -> None:
    """A zero that was true some seconds ago may still be under way."""
    late, false = Shown(19.0, 0, True, True), Shown(20.5, 0, True, True)
    assert judge.false_idles([ZERO, ONE], [SHOWS_ZERO, SHOWS_ONE, late, false]) == [false]
    assert judge.false_idles([Said(0.0, 0, False)], [Shown(3.0, 0, True, True)]) == [Shown(3.0, 0, True, True)]
