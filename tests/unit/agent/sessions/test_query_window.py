"""What is noted while QEMU is being asked."""

from launcher_agent.events import Phase
from launcher_agent.sessions.query_window import Question
from tests.unit.agent.fakes import UNIX, tcp


def test_nothing_happened_at_first() -> None:
    question = Question()
    assert (question.stirred, question.risen, question.disturbed) == ({}, 0, False)


def test_of_a_client_by_address_its_last_step_is_known_and_disturbs_nothing() -> None:
    question = Question()
    for phase in (Phase.CONNECT, Phase.INITIALIZE):
        question.disturb(phase, tcp(1))
    assert (question.stirred, question.disturbed) == ({tcp(1): Phase.INITIALIZE}, False)


def test_an_anonymous_client_disturbs_whatever_it_does() -> None:
    question = Question()
    for phase in (Phase.CONNECT, Phase.INITIALIZE, Phase.DISCONNECT):
        question.disturb(phase, UNIX)
    assert (question.stirred, question.risen, question.disturbed) == ({}, 0, True)


def test_what_the_answer_may_lack_is_the_rise_since_its_lowest_moment_and_not_every_arrival() -> None:
    question = Question()
    for phase in (Phase.DISCONNECT, Phase.DISCONNECT, Phase.CONNECT, Phase.CONNECT, Phase.CONNECT, Phase.DISCONNECT):
        question.disturb(phase, UNIX)
    assert question.risen == 2


def test_those_that_came_and_are_in_no_table_have_found_it_full() -> None:
    question = Question()
    question.disturb(Phase.CONNECT, tcp(1))
    question.disturb(Phase.DISCONNECT, tcp(2))
    question.disturb(Phase.INITIALIZE, tcp(3))
    assert question.overflowed(lambda peer: peer == tcp(3)) == 1


def test_a_crowd_is_not_remembered_one_by_one() -> None:
    question = Question()
    for port in range(1, 1026):
        question.disturb(Phase.CONNECT, tcp(port))
    assert (len(question.stirred), question.disturbed) == (1024, True)
