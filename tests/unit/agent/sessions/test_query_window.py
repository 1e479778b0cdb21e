"""What is noted while QEMU is being asked."""

from launcher_agent.events import Phase
from launcher_agent.sessions.query_window import QueryWindow
from tests.unit.agent.fakes import UNIX, tcp


def test_nothing_happened_at_first() -> None:
    window = QueryWindow()
    assert (window.changed, window.risen, window.inconclusive) == ({}, 0, False)


def test_of_a_client_by_address_its_last_step_is_known_and_disturbs_nothing() -> None:
    window = QueryWindow()
    for phase in (Phase.CONNECT, Phase.INITIALIZE):
        window.record(phase, tcp(1))
    assert (window.changed, window.inconclusive) == ({tcp(1): Phase.INITIALIZE}, False)


def test_an_anonymous_client_disturbs_whatever_it_does() -> None:
    window = QueryWindow()
    for phase in (Phase.CONNECT, Phase.INITIALIZE, Phase.DISCONNECT):
        window.record(phase, UNIX)
    assert (window.changed, window.risen, window.inconclusive) == ({}, 0, True)


def test_what_the_answer_may_lack_is_the_rise_since_its_lowest_moment_and_not_every_arrival() -> None:
    window = QueryWindow()
    for phase in (Phase.DISCONNECT, Phase.DISCONNECT, Phase.CONNECT, Phase.CONNECT, Phase.CONNECT, Phase.DISCONNECT):
        window.record(phase, UNIX)
    assert window.risen == 2


def test_those_that_came_and_are_in_no_table_have_found_it_full() -> None:
    window = QueryWindow()
    window.record(Phase.CONNECT, tcp(1))
    window.record(Phase.DISCONNECT, tcp(2))
    window.record(Phase.INITIALIZE, tcp(3))
    assert window.overflowed(lambda peer: peer == tcp(3)) == 1


def test_a_crowd_is_not_remembered_one_by_one() -> None:
    window = QueryWindow()
    for port in range(1, 1026):
        window.record(Phase.CONNECT, tcp(port))
    assert (len(window.changed), window.inconclusive) == (1024, True)
