"""Which domain is ours."""

from launcher_agent.vm.domains import Ambiguous, Domain, choose

RUNNING, OFF = Domain("a", 1), Domain("b", None)


def test_the_only_one_is_ours_whether_it_runs_or_not() -> None:
    assert choose([RUNNING], None) == RUNNING
    assert choose([OFF], None) == OFF


def test_without_any_there_is_none() -> None:
    assert choose([], None) is None
    assert choose([], "a") is None


def test_of_several_the_named_one_is_ours() -> None:
    assert choose([RUNNING, OFF], "b") == OFF
    assert choose([RUNNING, OFF], "c") is None


def test_of_several_without_a_name_none_is_ours_not_even_the_only_one_that_runs() -> None:
    assert choose([OFF, RUNNING], None) == Ambiguous(("a", "b"))
