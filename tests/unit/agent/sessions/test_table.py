"""The session table, in sentences, and against a VM whose clients are known."""

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from launcher_agent.events import Phase, SocketAddress, Transport
from launcher_agent.sessions.table import SessionTable
from launcher_agent.sessions.view import Accuracy, TableView

UNIX = SocketAddress(Transport.UNIX)
CONNECT, INITIALIZE, DISCONNECT = Phase.CONNECT, Phase.INITIALIZE, Phase.DISCONNECT


def tcp(port: int, host: str = "127.0.0.1") -> SocketAddress:
    return SocketAddress(Transport.TCP, host, port)


def table(*events: tuple[Phase, SocketAddress], capacity: int = 256) -> SessionTable:
    """Return a table that has seen `events`, one per second from 1 on; no viewer was connected at 0."""
    made = SessionTable(capacity)
    made.clear(0.0)
    for number, (phase, peer) in enumerate(events, start=1):
        made.apply(phase, peer, float(number))
    return made


def test_a_viewer_is_pending_until_its_handshake_is_over() -> None:
    made = table((CONNECT, UNIX))
    assert (made.view().sessions, made.view().pending) == (0, 1)
    made.apply(INITIALIZE, UNIX, 2.0)
    assert (made.view().sessions, made.view().pending) == (1, 0)


def test_since_tells_when_the_first_came_and_when_the_last_had_gone() -> None:
    made = table((CONNECT, UNIX), (INITIALIZE, UNIX), (CONNECT, UNIX), (INITIALIZE, UNIX))
    assert made.view().since == 2.0
    made.apply(DISCONNECT, UNIX, 5.0)
    assert made.view().since == 2.0
    made.apply(DISCONNECT, UNIX, 6.0)
    assert made.view() == TableView(
        sessions=0, pending=0, accuracy=Accuracy.EXACT, since=6.0, started_total=2, ended_total=2
    )


def test_a_tcp_viewer_is_known_by_its_address_and_gets_an_id_of_its_own() -> None:
    made = table((CONNECT, tcp(1)), (INITIALIZE, tcp(1)), (CONNECT, tcp(2)), (INITIALIZE, tcp(2)))
    first, second = made.view().identified
    assert (first.id, first.peer, first.started_at) == (1, tcp(1), 2.0)
    assert (second.id, second.peer, second.started_at) == (2, tcp(2), 4.0)


def test_an_unfinished_tcp_client_that_leaves_does_not_make_the_count_doubtful() -> None:
    made = table((CONNECT, tcp(1)), (INITIALIZE, tcp(1)), (CONNECT, tcp(2)), (DISCONNECT, tcp(2)))
    assert (made.view().sessions, made.view().accuracy) == (1, Accuracy.EXACT)


def test_an_unfinished_unix_client_that_leaves_makes_the_count_an_upper_bound() -> None:
    made = table((CONNECT, UNIX), (INITIALIZE, UNIX), (CONNECT, UNIX), (DISCONNECT, UNIX))
    assert (made.view().sessions, made.view().accuracy) == (1, Accuracy.UPPER_BOUND)


def test_a_takeover_is_a_session_that_began_and_one_that_ended_though_the_count_stood_still() -> None:
    made = table((CONNECT, UNIX), (INITIALIZE, UNIX), (CONNECT, UNIX), (DISCONNECT, UNIX), (INITIALIZE, UNIX))
    view = made.view()
    assert (view.sessions, view.started_total, view.ended_total, view.accuracy) == (1, 2, 1, Accuracy.EXACT)


def test_the_same_address_at_another_server_is_another_client() -> None:
    at = [replace(tcp(1), server=port) for port in (5900, 5901)]
    made = table((CONNECT, at[0]), (INITIALIZE, at[0]), (CONNECT, at[1]), (INITIALIZE, at[1]))
    assert (made.view().sessions, made.view().accuracy) == (2, Accuracy.EXACT)
    made.apply(DISCONNECT, at[1], 9.0)
    assert [session.peer for session in made.view().identified] == [at[0]]


def test_the_same_address_again_is_a_second_client_which_cannot_be_told_from_the_first() -> None:
    """One address at a display's VNC port and at its websocket port: both events have the same two addresses."""
    made = table((CONNECT, tcp(1)), (INITIALIZE, tcp(1)), (CONNECT, tcp(1)))
    assert (made.view().sessions, made.view().pending, made.view().accuracy) == (1, 1, Accuracy.EXACT)
    made.apply(INITIALIZE, tcp(1), 9.0)
    assert (made.view().sessions, made.view().pending, made.view().accuracy) == (2, 0, Accuracy.EXACT)
    made.apply(DISCONNECT, tcp(1), 9.0)
    assert (made.view().sessions, made.view().pending, made.view().accuracy) == (1, 0, Accuracy.EXACT)
    made.apply(DISCONNECT, tcp(1), 9.0)
    assert (made.view().sessions, made.view().pending) == (0, 0)
    made.apply(CONNECT, tcp(1), 9.0)
    made.apply(INITIALIZE, tcp(1), 9.0)
    assert [session.peer for session in made.view().identified] == [tcp(1)]


def test_when_one_of_two_clients_of_an_address_leaves_and_one_had_no_handshake_it_is_an_upper_bound() -> None:
    made = table((CONNECT, tcp(1)), (INITIALIZE, tcp(1)), (CONNECT, tcp(1)), (DISCONNECT, tcp(1)))
    assert (made.view().sessions, made.view().pending, made.view().accuracy) == (1, 0, Accuracy.UPPER_BOUND)


def test_an_address_that_qemu_lists_twice_counts_twice() -> None:
    made = table()
    made.open_query_window()
    made.reconcile([tcp(1), tcp(1)], 2.0)
    assert (made.view().sessions, made.view().accuracy) == (2, Accuracy.UPPER_BOUND)
    made.apply(DISCONNECT, tcp(1), 3.0)
    assert made.view().sessions == 1
    made.open_query_window()
    made.reconcile([tcp(1)], 4.0)
    assert made.close_query_window()
    assert [session.peer for session in made.view().identified] == [tcp(1)]


def test_an_event_of_an_address_that_qemu_lists_twice_makes_the_answer_inconclusive() -> None:
    made = table((CONNECT, tcp(1)), (INITIALIZE, tcp(1)))
    made.open_query_window()
    made.apply(CONNECT, tcp(1), 2.0)
    made.reconcile([tcp(1), tcp(1)], 2.0)
    assert made.view().sessions == 1
    assert not made.close_query_window()


def test_an_answer_that_lists_a_client_which_has_left_is_inconclusive() -> None:
    """QEMU lists it from before its end, or lists another client of the same address that no event reported."""
    known = table((Phase.CONNECT, tcp(1)), (Phase.INITIALIZE, tcp(1)))
    known.open_query_window()
    known.apply(Phase.DISCONNECT, tcp(1), 5.0)
    known.reconcile([tcp(1)], 6.0)
    assert not known.close_query_window()


def test_a_listed_client_that_leaves_soon_after_the_answer_makes_it_inconclusive() -> None:
    """Another client of the same address may have been the one that left."""
    known = table()
    known.open_query_window()
    known.reconcile([tcp(1)], 5.0)
    known.apply(Phase.DISCONNECT, tcp(1), 6.0)
    assert not known.close_query_window()


def test_a_doubtful_table_that_keeps_its_clients_states_its_lower_bound() -> None:
    made = table((CONNECT, UNIX), (INITIALIZE, UNIX))
    made.doubt(2.0, keep=True)
    assert (made.view().sessions, made.view().accuracy) == (1, Accuracy.LOWER_BOUND)


def test_a_tcp_client_from_before_the_table_leaves_without_a_trace() -> None:
    before = table((CONNECT, tcp(1)), (INITIALIZE, tcp(1)))
    before.apply(DISCONNECT, tcp(9), 3.0)
    assert before.view() == table((CONNECT, tcp(1)), (INITIALIZE, tcp(1))).view()


def test_a_peer_without_a_usable_address_is_counted_all_the_same() -> None:
    nameless = SocketAddress(Transport.TCP)
    made = table((CONNECT, nameless), (INITIALIZE, nameless))
    assert (made.view().sessions, made.view().identified) == (1, ())


def test_the_end_of_the_domain_ends_all_at_once() -> None:
    made = table((CONNECT, UNIX), (INITIALIZE, UNIX), (CONNECT, tcp(1)), (INITIALIZE, tcp(1)), (CONNECT, tcp(2)))
    made.clear(9.0)
    assert made.view() == TableView(since=9.0, started_total=2, ended_total=2)


def test_clients_beyond_the_capacity_are_counted_without_their_peer() -> None:
    events = [(phase, tcp(port)) for port in (1, 2, 3) for phase in (CONNECT, INITIALIZE)]
    made = table(*events, capacity=2)
    assert (made.view().sessions, made.view().accuracy, made.overflows) == (3, Accuracy.EXACT, 1)
    assert [session.peer for session in made.view().identified] == [tcp(1), tcp(2)]
    made.apply(DISCONNECT, tcp(3), 9.0)
    assert (made.view().sessions, made.overflows) == (2, 1)


def test_a_fresh_table_cannot_say_since_when() -> None:
    assert SessionTable().view() == TableView(since=None)


def test_an_answer_counts_clients_of_unknown_phase_as_sessions() -> None:
    made = SessionTable()
    made.open_query_window()
    made.reconcile((UNIX, UNIX, tcp(1)), 7.0)
    view = made.view()
    assert (view.sessions, view.accuracy, view.since) == (3, Accuracy.UPPER_BOUND, 7.0)
    assert made.close_query_window()


def test_an_answer_that_lists_nobody_is_an_exact_zero() -> None:
    made = table((CONNECT, UNIX), (INITIALIZE, UNIX), (CONNECT, tcp(1)), (INITIALIZE, tcp(1)))
    made.reconcile((), 7.0)
    assert made.view() == TableView(since=7.0, started_total=2, ended_total=2)


def test_a_listed_tcp_client_becomes_exact_once_it_finishes_its_handshake() -> None:
    made = SessionTable()
    made.reconcile((tcp(1),), 1.0)
    made.apply(INITIALIZE, tcp(1), 2.0)
    assert (made.view().sessions, made.view().accuracy, made.view().started_total) == (1, Accuracy.EXACT, 1)


def test_a_tcp_session_that_is_still_listed_keeps_its_id_and_proves_that_somebody_was_there_all_the_time() -> None:
    made = table((CONNECT, tcp(1)), (INITIALIZE, tcp(1)))
    made.resubscribe()
    made.reconcile((tcp(1), tcp(2)), 7.0)
    assert [session.id for session in made.view().identified] == [1, 2]
    assert made.view().since == 2.0


def test_a_unix_session_that_is_listed_proves_nothing_about_the_time_in_between() -> None:
    made = table((CONNECT, UNIX), (INITIALIZE, UNIX))
    made.resubscribe()
    made.reconcile((UNIX,), 7.0)
    assert (made.view().sessions, made.view().since) == (1, 7.0)


def test_a_client_that_was_unfinished_before_a_gap_may_have_finished_in_it() -> None:
    made = table((CONNECT, tcp(1)))
    made.resubscribe()
    made.reconcile((tcp(1),), 7.0)
    assert (made.view().sessions, made.view().accuracy) == (1, Accuracy.UPPER_BOUND)


def test_clients_of_one_address_that_were_unfinished_before_a_gap_may_have_finished_in_it() -> None:
    made = table((CONNECT, tcp(1)), (CONNECT, tcp(1)))
    made.resubscribe()
    made.reconcile((tcp(1), tcp(1)), 7.0)
    assert (made.view().sessions, made.view().accuracy) == (2, Accuracy.UPPER_BOUND)


def test_a_client_that_is_known_to_be_unfinished_stays_so_when_it_is_listed() -> None:
    made = table((CONNECT, tcp(1)))
    made.open_query_window()
    made.reconcile((tcp(1),), 7.0)
    assert (made.view().sessions, made.view().pending) == (0, 1)


def test_a_unix_client_that_comes_while_qemu_is_asked_is_counted_besides_and_disturbs_the_answer() -> None:
    made = SessionTable()
    made.open_query_window()
    made.apply(CONNECT, UNIX, 1.0)
    made.reconcile((UNIX,), 2.0)
    assert (made.view().sessions, made.view().accuracy) == (2, Accuracy.UPPER_BOUND)
    assert not made.close_query_window()


def test_a_unix_client_that_comes_soon_after_the_answer_disturbs_it_too() -> None:
    made = SessionTable()
    made.open_query_window()
    made.reconcile((), 1.0)
    made.apply(CONNECT, UNIX, 1.1)
    assert not made.close_query_window()


def test_a_tcp_client_that_moves_while_qemu_is_asked_is_told_by_its_events_until_qemu_is_asked_again() -> None:
    made = table((CONNECT, tcp(1)), (INITIALIZE, tcp(1)), (CONNECT, tcp(2)), (INITIALIZE, tcp(2)))
    made.open_query_window()
    made.apply(DISCONNECT, tcp(1), 5.0)
    made.apply(CONNECT, tcp(3), 5.0)
    made.reconcile((tcp(1), tcp(2)), 6.0)
    assert [session.peer for session in made.view().identified] == [tcp(2)]
    assert (made.view().pending, made.view().accuracy, made.close_query_window()) == (1, Accuracy.EXACT, False)


def test_a_tcp_client_that_comes_while_qemu_is_asked_and_finds_the_table_full_is_still_counted() -> None:
    made = table((CONNECT, tcp(1)), (INITIALIZE, tcp(1)), capacity=1)
    made.open_query_window()
    made.apply(CONNECT, tcp(2), 5.0)
    made.apply(INITIALIZE, tcp(2), 5.0)
    made.reconcile((tcp(1), tcp(2)), 6.0)
    assert (made.view().sessions, made.overflows) == (2, 1)


@pytest.mark.parametrize("phase", [CONNECT, DISCONNECT])
@pytest.mark.parametrize("late", [False, True])
def test_a_listed_address_that_had_an_event_may_be_another_clients(phase: Phase, late: bool) -> None:
    """The answer may have been made before or after it: the event may be the listed client's or another's."""
    made = table((CONNECT, tcp(1)), (INITIALIZE, tcp(1)))
    made.open_query_window()
    if late:
        made.reconcile((tcp(1),), 5.0)
        made.apply(phase, tcp(1), 6.0)
    else:
        made.apply(phase, tcp(1), 5.0)
        made.reconcile((tcp(1),), 6.0)
    assert not made.close_query_window()


def test_an_event_that_comes_after_the_answer_with_its_client_counts_it_twice_only_until_qemu_is_asked_again() -> None:
    made = SessionTable()
    made.open_query_window()
    made.reconcile((tcp(1),), 1.0)
    made.apply(CONNECT, tcp(1), 1.1)
    made.apply(INITIALIZE, tcp(1), 1.1)
    assert (made.view().sessions, made.view().accuracy) == (2, Accuracy.UPPER_BOUND)
    assert not made.close_query_window()
    made.open_query_window()
    made.reconcile((tcp(1),), 2.0)
    assert (made.view().sessions, made.close_query_window()) == (1, True)
    made.apply(DISCONNECT, tcp(1), 3.0)
    assert made.view().sessions == 0


def test_a_crowd_of_tcp_clients_that_move_while_qemu_is_asked_disturbs_the_answer() -> None:
    made = SessionTable()
    made.open_query_window()
    for port in range(1, 1026):
        made.apply(CONNECT, tcp(port), 1.0)
        made.apply(DISCONNECT, tcp(port), 1.0)
    made.reconcile((), 2.0)
    assert not made.close_query_window()


def test_a_table_that_may_miss_clients_tells_a_lower_bound() -> None:
    made = table((CONNECT, UNIX), (INITIALIZE, UNIX))
    made.doubt(5.0, keep=False)
    assert made.view() == TableView(accuracy=Accuracy.LOWER_BOUND, since=None, started_total=1, ended_total=1)
    made.apply(CONNECT, UNIX, 6.0)
    made.apply(INITIALIZE, UNIX, 7.0)
    assert (made.view().sessions, made.view().since) == (1, 7.0)
    made.apply(DISCONNECT, UNIX, 8.0)  # this one, or one from before
    assert (made.view().sessions, made.view().since) == (0, None)
    made.clear(9.0)
    assert (made.view().accuracy, made.view().since) == (Accuracy.EXACT, 9.0)


def test_no_answer_makes_the_count_larger_than_the_contract_allows() -> None:
    made = SessionTable()
    made.reconcile((UNIX,) * 70_000, 1.0)
    assert (made.view().sessions, made.view().pending) == (65_535, 4_465)


Client = tuple[SocketAddress, int]


class Machine(RuleBasedStateMachine):
    """A VM with clients of both kinds, a libvirt that may be away, and a table of a small capacity."""

    clients: Bundle[Client] = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.table = SessionTable(capacity=3)
        self.now = 0.0
        self.finished: dict[Client, bool] = {}
        self.numbers = 0
        self.subscribed = True
        self.certain = True  # every event since a known moment was seen
        self.mixed = False  # two clients of an address, one of which came or went since the question
        self.asking = False
        self.listed: tuple[SocketAddress, ...] | None = None  # QEMU's answer, on its way
        self.answered = False
        self.bounded = True  # an answer, at least, has come since events were missed
        self.forgot = False

    @initialize()
    def start(self) -> None:
        self.table.clear(self.now)

    def send(self, phase: Phase, peer: SocketAddress) -> None:
        self.now += 1
        if self.subscribed:
            self.table.apply(phase, peer, self.now)

    @rule(target=clients, unix=st.booleans())
    def connect(self, unix: bool) -> Client:
        self.numbers += 1
        peer = UNIX if unix else tcp(self.numbers)
        client = (peer, self.numbers)
        self.finished[client] = False
        self.send(CONNECT, peer)
        return client

    @rule(target=clients, client=clients)
    def connect_again(self, client: Client) -> Client:
        """From the same address and port, at the display's other listener: at most two at a time."""
        peer = client[0]
        if peer == UNIX or [one for one, _ in self.finished].count(peer) != 1:
            return client
        self.numbers += 1
        twin = (peer, self.numbers)
        self.finished[twin] = False
        self.mixed = True
        self.send(CONNECT, peer)
        return twin

    @rule(client=clients)
    def finish(self, client: Client) -> None:
        if not self.finished.get(client, True):
            self.finished[client] = True
            self.send(INITIALIZE, client[0])

    @rule(client=consumes(clients))
    def leave(self, client: Client) -> None:
        if client in self.finished:
            del self.finished[client]
            self.mixed |= client[0] != UNIX and client[0] in [peer for peer, _ in self.finished]
            self.send(DISCONNECT, client[0])

    @rule()
    def stop_domain(self) -> None:
        self.finished.clear()
        if self.subscribed:
            self.now += 1
            self.table.clear(self.now)
            self.certain, self.bounded, self.forgot = True, True, False
            self.end_question()

    @rule()
    def lose_libvirt(self) -> None:
        self.subscribed = self.certain = self.bounded = self.forgot = False
        self.end_question()

    @precondition(lambda self: not self.subscribed)
    @rule()
    def find_libvirt(self) -> None:
        self.subscribed = True
        self.table.resubscribe()

    @precondition(lambda self: self.subscribed and not self.certain)
    @rule()
    def forget(self) -> None:
        self.table.doubt(self.now, keep=False)
        self.forgot, self.bounded = True, False
        self.end_question()

    def end_question(self) -> None:
        self.asking, self.listed, self.answered = False, None, False

    @precondition(lambda self: self.subscribed and not self.certain)
    @rule()
    def open_query_window(self) -> None:
        self.end_question()
        self.table.open_query_window()
        self.asking, self.mixed = True, False

    @precondition(lambda self: self.asking and not self.answered)
    @rule(data=st.data())
    def list_clients(self, data: st.DataObject) -> None:
        """QEMU makes its list, in an order of its own; much may happen until it is here."""
        self.listed = tuple(data.draw(st.permutations([peer for peer, _ in self.finished])))

    @precondition(lambda self: self.listed is not None and not self.answered)
    @rule()
    def answer(self) -> None:
        assert self.listed is not None
        self.table.reconcile(self.listed, self.now)
        self.answered = True
        # Such an answer is inconclusive, and may be too low until the next one.
        self.bounded = not self.mixed
        self.forgot = False

    @precondition(lambda self: self.answered)
    @rule()
    def settle(self) -> None:
        self.end_question()
        if self.table.close_query_window():
            self.certain = True

    @invariant()
    def totals_add_up(self) -> None:
        view = self.table.view()
        assert view.sessions == view.started_total - view.ended_total
        assert len(view.identified) <= min(view.sessions, 3)

    @invariant()
    def the_count_is_what_it_claims_to_be(self) -> None:
        view, truth = self.table.view(), sum(self.finished.values())
        if self.forgot:
            if self.subscribed:
                assert view.sessions <= truth
                assert view.accuracy is Accuracy.LOWER_BOUND
        elif self.certain:
            assert view.sessions + view.pending == len(self.finished)
            assert view.sessions >= truth
            if view.accuracy is Accuracy.EXACT:
                assert view.sessions == truth
        if self.bounded:
            assert view.sessions + view.pending >= len(self.finished)
            assert view.sessions >= truth


TestMachine = Machine.TestCase
