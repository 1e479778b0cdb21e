"""The SPICE table, and a server whose events and answers arrive in any order that libvirt permits."""

from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from launcher_agent.events import Phase, SocketAddress, SpiceChannel
from launcher_agent.sessions.spice_table import SpiceTable
from launcher_agent.sessions.view import Accuracy
from tests.unit.agent.fakes import UNIX, tcp

CONNECT, INITIALIZE, DISCONNECT = Phase


def after(*events: tuple[Phase, SocketAddress], table: SpiceTable | None = None) -> SpiceTable:
    table = table or SpiceTable()
    for phase, peer in events:
        table.apply(phase, peer)
    return table


def seen(table: SpiceTable) -> tuple[int, int, Accuracy]:
    return table.sessions, table.pending, table.accuracy


def viewer(*ports: int) -> list[tuple[Phase, SocketAddress]]:
    return [(phase, tcp(port)) for port in ports for phase in (CONNECT, INITIALIZE)]


def answered(table: SpiceTable, channels: Iterable[tuple[SocketAddress, int]]) -> SpiceTable:
    table.open_window()
    table.reconcile([SpiceChannel(peer, connection) for peer, connection in channels])
    assert table.close_window()
    return table


def test_a_viewer_with_three_channels_is_one_session() -> None:
    table = after(*viewer(1, 2, 3))
    assert seen(table) == (1, 0, Accuracy.EXACT)
    assert seen(after((DISCONNECT, tcp(1)), (DISCONNECT, tcp(2)), table=table)) == (1, 0, Accuracy.EXACT)
    assert seen(after((DISCONNECT, tcp(3)), table=table)) == (0, 0, Accuracy.EXACT)


def test_a_client_without_a_finished_channel_is_pending() -> None:
    table = after((CONNECT, tcp(1)))
    assert seen(table) == (0, 1, Accuracy.EXACT)
    assert seen(after((DISCONNECT, tcp(1)), table=table)) == (0, 0, Accuracy.EXACT)


def test_a_takeover_dips_to_zero_while_the_newer_client_is_pending() -> None:
    """What holds the fall back is in spice_watch."""
    table = after(*viewer(1), (CONNECT, tcp(2)), (DISCONNECT, tcp(1)))
    assert seen(table) == (0, 1, Accuracy.EXACT)
    assert seen(after((INITIALIZE, tcp(2)), table=table)) == (1, 0, Accuracy.EXACT)


def test_on_a_unix_socket_the_number_is_a_bound_until_all_have_left() -> None:
    """One channel has finished and another has not: which of them leaves is not known."""
    table = after((CONNECT, UNIX), (INITIALIZE, UNIX), (CONNECT, UNIX), (DISCONNECT, UNIX))
    assert seen(table) == (1, 0, Accuracy.UPPER_BOUND)
    assert seen(after((DISCONNECT, UNIX), table=table)) == (0, 0, Accuracy.EXACT)


def test_an_answer_finds_the_channels_that_no_event_reported() -> None:
    table = answered(SpiceTable(), [(tcp(1), 7), (tcp(2), 7)])
    assert seen(table) == (1, 0, Accuracy.EXACT)
    assert seen(after((DISCONNECT, tcp(1)), (DISCONNECT, tcp(2)), table=table)) == (0, 0, Accuracy.EXACT)


def test_on_a_unix_socket_the_end_of_a_channel_that_no_answer_lists_lowers_nothing() -> None:
    """QEMU lists finished channels only. An unfinished one from before the events leaves: the viewer is still there."""
    table = after((DISCONNECT, UNIX), table=answered(SpiceTable(), [(UNIX, 7)]))
    assert seen(table) == (1, 0, Accuracy.UPPER_BOUND)
    assert seen(answered(table, [(UNIX, 7)])) == (1, 0, Accuracy.EXACT)
    assert seen(answered(table, [])) == (0, 0, Accuracy.EXACT)


def test_an_event_while_qemu_is_asked_makes_the_answer_of_a_unix_socket_inconclusive() -> None:
    table = SpiceTable()
    table.open_window()
    after((CONNECT, UNIX), (INITIALIZE, UNIX), table=table)
    table.reconcile([])
    assert seen(table) == (1, 0, Accuracy.UPPER_BOUND)
    assert not table.close_window()


def test_an_answer_that_overtakes_the_events_of_a_channel_counts_it_once() -> None:
    table = SpiceTable()
    table.open_window()
    table.reconcile([SpiceChannel(tcp(1), 7)])
    after(*viewer(1), table=table)
    assert not table.close_window()  # they may be another channel's, at the other port
    assert seen(table) == (1, 0, Accuracy.EXACT)
    answered(table, [(tcp(1), 7)])
    assert seen(after((DISCONNECT, tcp(1)), table=table)) == (0, 0, Accuracy.EXACT)


def test_two_listed_channels_of_one_address_are_two() -> None:
    """At the plain and at the TLS port: the end of one is not the end of the other."""
    table = answered(SpiceTable(), [(tcp(1), 7), (tcp(1), 7)])
    assert seen(table) == (1, 0, Accuracy.EXACT)
    assert seen(after((DISCONNECT, tcp(1)), table=table)) == (1, 0, Accuracy.EXACT)
    assert table.pending == 0


def test_an_answer_with_two_channels_of_an_address_is_inconclusive_after_its_events() -> None:
    table = SpiceTable()
    table.open_window()
    after(*viewer(1), table=table)
    table.reconcile([SpiceChannel(tcp(1), 7), SpiceChannel(tcp(1), 7)])
    assert not table.close_window()
    assert table.sessions == 1


def test_a_second_channel_of_a_listed_address_does_not_end_the_first() -> None:
    table = SpiceTable()
    table.open_window()
    table.reconcile([SpiceChannel(tcp(1), 7)])
    after(*viewer(1), (DISCONNECT, tcp(1)), table=table)
    assert not table.close_window()


def test_several_clients_are_bounded_by_events_and_counted_by_answers() -> None:
    table = SpiceTable()
    table.allow_several_clients()
    after(*viewer(1, 2, 3), table=table)
    assert seen(table) == (3, 0, Accuracy.UPPER_BOUND)
    answered(table, [(tcp(1), 7), (tcp(2), 7), (tcp(3), 8)])
    assert seen(table) == (2, 0, Accuracy.EXACT)
    assert seen(after((CONNECT, tcp(4)), table=table)) == (2, 1, Accuracy.EXACT)
    assert seen(after((DISCONNECT, tcp(3)), table=table)) == (2, 1, Accuracy.UPPER_BOUND)
    assert seen(answered(table, [(tcp(1), 7), (tcp(2), 7)])) == (1, 1, Accuracy.EXACT)


def test_a_server_that_lists_two_clients_serves_several() -> None:
    """No variable of QEMU's environment says so, if a wrapper sets it."""
    table = answered(SpiceTable(), [(tcp(1), 7), (tcp(2), 8)])
    assert seen(table) == (2, 0, Accuracy.EXACT)


def test_a_table_that_may_miss_clients_states_the_lower_bound() -> None:
    table = SpiceTable()
    table.may_miss = True
    assert seen(table) == (0, 0, Accuracy.LOWER_BOUND)
    assert seen(after(*viewer(1), table=table)) == (1, 0, Accuracy.LOWER_BOUND)


def test_the_table_is_bounded_and_still_counts() -> None:
    table = SpiceTable(capacity=2)
    after(*viewer(1, 2, 3, 4), table=table)
    assert table.sessions == 1
    after(*((DISCONNECT, tcp(port)) for port in (1, 2, 3)), table=table)
    assert table.sessions == 1
    assert seen(after((DISCONNECT, tcp(4)), table=table)) == (0, 0, Accuracy.EXACT)


def test_the_same_address_at_two_ports_is_never_a_wrong_zero() -> None:
    table = after(*viewer(1), (CONNECT, tcp(1)), (DISCONNECT, tcp(1)))
    assert table.sessions == 1


class Server(RuleBasedStateMachine):
    """A SPICE server with channels of many clients; the agent subscribed after some of them had connected.

    A single client's server has at most one client that has finished a channel; the machine permits any number, which
    is harder. Events arrive in their order, however late. An answer is of the moment at which QEMU made it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.table = SpiceTable(capacity=4)
        self.channels: dict[int, tuple[SocketAddress, bool]] = {}
        self.events: list[tuple[Phase, SocketAddress]] = []
        self.next = 0
        self.asking = False
        self.answer: list[SpiceChannel] | None = None
        self.due = 0  # events before the answer that have not arrived
        self.certain = False  # an answer has been conclusive

    @property
    def really(self) -> int:
        return int(any(finished for _, finished in self.channels.values()))

    @rule(unix=st.booleans(), early=st.booleans(), finished=st.booleans())
    def connect(self, unix: bool, early: bool, finished: bool) -> None:
        self.next += 1
        peer = UNIX if unix else tcp(self.next)
        if early and not self.certain and not self.asking:
            self.channels[self.next] = (peer, finished)  # before the subscription
        else:
            self.channels[self.next] = (peer, False)
            self.events.append((CONNECT, peer))

    @precondition(lambda self: self.channels)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.channels)))
        peer, finished = self.channels[number]
        if not finished:
            self.channels[number] = (peer, True)
            self.events.append((INITIALIZE, peer))

    @precondition(lambda self: self.channels)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        peer, _ = self.channels.pop(data.draw(st.sampled_from(sorted(self.channels))))
        self.events.append((DISCONNECT, peer))

    @precondition(lambda self: self.events)
    @rule()
    def arrive(self) -> None:
        self.table.apply(*self.events.pop(0))
        self.due = max(0, self.due - 1)

    @precondition(lambda self: not self.asking)
    @rule()
    def ask(self) -> None:
        self.asking = True
        self.table.open_window()

    @precondition(lambda self: self.asking and self.answer is None)
    @rule()
    def make_answer(self) -> None:
        self.answer = [SpiceChannel(peer, 7) for peer, finished in self.channels.values() if finished]
        self.due = len(self.events)
        self.reconciled = False

    @precondition(lambda self: self.answer is not None and not self.reconciled)
    @rule()
    def receive_answer(self) -> None:
        assert self.answer is not None
        self.table.reconcile(self.answer)
        self.reconciled = True

    @precondition(lambda self: self.answer is not None and self.reconciled and self.due == 0)
    @rule()
    def close(self) -> None:
        self.asking, self.answer = False, None
        self.certain |= self.table.close_window()

    @invariant()
    def a_conclusive_answer_and_all_events_leave_no_wrong_zero(self) -> None:
        if self.certain and not self.events and not self.asking:
            assert self.table.sessions >= self.really
            if self.table.accuracy is Accuracy.EXACT:
                assert self.table.sessions == self.really

    @invariant()
    def numbers_are_bounds(self) -> None:
        assert 0 <= self.table.sessions <= 1
        assert self.table.pending >= 0


TestServer = Server.TestCase
TestServer.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
