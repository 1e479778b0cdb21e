"""Which domain is watched."""

from launcher_agent.vm.domains import Ambiguous, Domain, choose

RUNNING, OFF = Domain("a", 1), Domain("b", None)


def test_the_only_one_is_chosen_whether_it_runs_or_not() -> None:
    assert choose([RUNNING]) == RUNNING
    assert choose([OFF]) == OFF


def test_without_any_there_is_none() -> None:
    assert choose([]) is None


def test_of_several_none_is_chosen_not_even_the_only_one_that_runs() -> None:
    assert choose([OFF, RUNNING]) == Ambiguous(("a", "b"))
