"""Histories in numbers, and the simulation itself: that it repeats itself, shrinks, and finds what is planted."""

import os
import random
from dataclasses import replace

import pytest

from tests.simulation import mutants
from tests.simulation.campaign import campaign, report
from tests.simulation.generator import generate
from tests.simulation.history import Epoch, History, Setting, Step
from tests.simulation.mutants import Edit, Mutant, StaleMutantError, planted
from tests.simulation.oracles import Violation
from tests.simulation.run import run
from tests.simulation.shrink import shrink

CORES = len(os.sched_getaffinity(0))


@pytest.mark.timeout(900)
def test_no_promise_is_broken_in_any_history(request: pytest.FixtureRequest) -> None:
    """Ordered, NoPhantom, Converges, UnknownIsNotZero, PublishedMeansPublished, BoundedWrites.

    `make test` runs 2,000 histories, `make check` 200, and `make simulate` any number.
    """
    histories: int = request.config.getoption("--histories")
    stats = campaign(histories, 0, CORES)
    assert not stats.violations, "\n".join(report(stats))
    assert stats.histories == histories
    assert stats.faults > 2 * histories


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", [one for one in mutants.MUTANTS if one.quick], ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    """A simulation that finds nothing proves nothing. All of them: `make mutants`."""
    assert mutants.hunt(mutant, 100, 1) is not None


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_still_fits_the_code(mutant: Mutant) -> None:
    """A table of bugs that cannot be planted any more would go on looking well."""
    with planted(mutant) as root:
        assert (root / mutant.edits[0].file).exists()


def test_a_mutant_that_does_not_fit_is_an_error() -> None:
    mutant = Mutant("stale", (Edit("handler_service/reports/store.py", "no such text", ""),))
    with (
        pytest.raises(StaleMutantError, match=r"stale: .* has 0 times: no such text"),
        planted(mutant),
    ):
        pass


def test_a_seed_makes_the_same_history_each_time() -> None:
    assert generate(7) == generate(7)
    assert str(generate(7)) != str(generate(8))


def test_a_run_leaves_the_programs_chance_as_it_was() -> None:
    """Each run seeds it anew, so that what was drawn before cannot matter."""
    before = random.getstate()
    run(generate(3))
    assert random.getstate() == before


def test_a_failing_history_is_cut_down_to_what_matters() -> None:
    """Steps that are left out leave the others where they were."""
    steps = tuple(Step(float(number), "connect", (("finish", 0.001),), number) for number in range(9))
    long = History(1, Setting(), (Epoch(1, steps), Epoch(2, steps)))

    def fails(history: History) -> list[Violation]:
        epochs = {epoch.number: {step.number for step in epoch.steps} for epoch in history.epochs}
        return [Violation("Ordered", "")] if {2, 7} <= epochs.get(2, set()) else []

    shortest = shrink(long, "Ordered", fails)
    assert shortest.choice == "2:2,7"
    assert long.only("2:2,7") == shortest


def test_another_promise_is_not_what_is_shrunk_for() -> None:
    """Else what is printed would be another bug than what was found."""
    long = replace(generate(3), epochs=(Epoch(1, (Step(0.0, "foreign_touch"),)),))
    assert shrink(long, "Ordered", lambda _: [Violation("Converges", "")]) == long
