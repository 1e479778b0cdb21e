"""Many histories, and the simulation itself: it is deterministic, shrinks, and finds planted bugs."""

import os
import random
from dataclasses import replace

import pytest

from tests.simulation import mutants
from tests.simulation.campaign import campaign, report
from tests.simulation.generator import generate
from tests.simulation.history import Epoch, History, Setting, Step
from tests.simulation.oracles import Violation
from tests.simulation.planting import Edit, Mutant, StaleMutantError, edited, planted
from tests.simulation.run import run
from tests.simulation.shrink import shrink

CORES = len(os.sched_getaffinity(0))


@pytest.mark.timeout(900)
def test_no_promise_is_broken_in_any_history(request: pytest.FixtureRequest) -> None:
    """All eight promises.

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
    """A bug that can no longer be planted would always count as found."""
    with planted(mutant) as root:
        assert (root / mutant.edits[0].path).exists()


_SOURCE = """
LIMIT: int = 3

class Counter:
    def add(self, one):
        total = self.total  # a comment
        self.total = total + one
        return self.total

    def clear(self):
        total = 0
        self.total = total
"""


@pytest.mark.parametrize(
    ("name", "old", "new", "line"),
    [
        pytest.param("Counter.add", "(total\n + one)", "total - one", "self.total = total - one", id="expression"),
        pytest.param("Counter.add", "total=self.total", "total = 1", "total = 1", id="statement"),
        pytest.param(
            "Counter.clear", "total = 0\nself.total = total", "self.total = 9", "self.total = 9", id="statements"
        ),
        pytest.param("Counter.clear", "self.total = total", "", "pass", id="deletion"),
        pytest.param("LIMIT", "3", "4", "LIMIT: int = 4", id="assignment"),
    ],
)
def test_an_edit_finds_code_by_its_syntax_inside_the_named_object(name: str, old: str, new: str, line: str) -> None:
    result = edited(_SOURCE, Edit("counting", name, old, new))
    assert [one.strip() for one in result.splitlines()].count(line) == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(("total = 0\n        self.total = total", "zero = 0\n        self.total = zero"), id="rename"),
        pytest.param(("total + one", "(\n            total\n            + one\n        )  # more"), id="layout"),
        pytest.param(("class Counter:", "import os\n\nclass Counter:\n    size = 0"), id="neighbour"),
    ],
)
def test_an_edit_survives_a_rename_elsewhere_and_a_new_layout(change: tuple[str, str]) -> None:
    edit = Edit("counting", "Counter.add", "self.total = total + one", "self.total = total - one")
    assert _SOURCE.count(change[0]) == 1
    assert "self.total = total - one" in edited(_SOURCE.replace(*change), edit)


@pytest.mark.parametrize(
    ("name", "old", "message"),
    [
        ("Counter.add", "self.none", "counting: Counter.add has 0 times: self.none"),
        ("Counter.add", "total", "counting: Counter.add has 2 times: total"),
        ("Counter.remove", "total", "counting has 0 times: Counter.remove"),
        ("LIMIT.max", "3", "counting has 0 times: LIMIT.max"),
    ],
)
def test_an_edit_that_does_not_match_exactly_once_is_an_error(name: str, old: str, message: str) -> None:
    with pytest.raises(StaleMutantError) as raised:
        edited(_SOURCE.replace("return self.total", "return total"), Edit("counting", name, old, "1"))
    assert str(raised.value) == message


def test_a_mutant_of_a_module_that_was_moved_is_an_error() -> None:
    mutant = Mutant("stale", (Edit("handler_service.moved", "Moved", "1", "2"),))
    with (
        pytest.raises(StaleMutantError, match=r"^stale: there is no module handler_service\.moved$"),
        planted(mutant),
    ):
        pass


def test_a_seed_makes_the_same_history_each_time() -> None:
    assert generate(7) == generate(7)
    assert str(generate(7)) != str(generate(8))


def test_a_run_leaves_the_programs_chance_as_it_was() -> None:
    """Each run seeds it again, so that earlier random numbers have no effect."""
    before = random.getstate()
    run(generate(3))
    assert random.getstate() == before


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(
            [(5.0, "libvirt_locked", 20.0), (6.0, "libvirt_restart", 0.1), (14.99, "libvirt_locked", 1.0)],
            id="a lock, 10 s after one that a restart ended",
        ),
        pytest.param(
            [(5.0, "query_refused", 5.0), (5.5, "query_refused", 0.5), (7.99, "query_refused", 1.0)],
            id="a refusal, 3 s after one that has ended",
        ),
        pytest.param(
            [(4.9, "libvirt_locked", 8.0), (5.0, "query_refused", 5.0)],
            id="a refusal while libvirt does not answer, so that polls wait",
        ),
    ],
)
def test_two_faults_are_not_taken_for_one(faults: list[tuple[float, str, float]]) -> None:
    """Time without an answer counts from the fault that is in effect."""
    setting = Setting(tcp=True, ports=True, poll=1.0)
    steps = tuple(Step(at, name, (("seconds", seconds),)) for at, name, seconds in faults)
    assert run(History(1, setting, (Epoch(1, (*steps, Step(20.0, "foreign_touch"))),))) == []


def test_a_failing_history_is_cut_down_to_what_matters() -> None:
    """Steps that are left out do not move the others."""
    steps = tuple(Step(float(number), "connect", (("finish", 0.001),), number) for number in range(9))
    long = History(1, Setting(), (Epoch(1, steps), Epoch(2, steps)))

    def fails(history: History) -> list[Violation]:
        epochs = {epoch.number: {step.number for step in epoch.steps} for epoch in history.epochs}
        return [Violation("Ordered", "")] if {2, 7} <= epochs.get(2, set()) else []

    shortest = shrink(long, "Ordered", fails)
    assert shortest.choice == "2:2,7"
    assert long.only("2:2,7") == shortest


def test_another_promise_is_not_what_is_shrunk_for() -> None:
    """Otherwise the printed bug would be another one than the bug found."""
    long = replace(generate(3), epochs=(Epoch(1, (Step(0.0, "foreign_touch"),)),))
    assert shrink(long, "Ordered", lambda _: [Violation("Converges", "")]) == long
