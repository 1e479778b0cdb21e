"""The difference of two views."""

from launcher_agent.reporting.deltas import vnc_delta
from launcher_agent.sessions.view import Accuracy, Session, TableView
from servicestatus.v1 import sessions_pb2
from tests.unit.agent.fakes import tcp

OLD, NEW = Session(1, tcp(40001), 1.0), Session(2, tcp(40002), 2.0)


def test_it_is_what_leads_from_one_to_the_other() -> None:
    before = TableView(sessions=1, since=1.0, started_total=5, ended_total=4, identified=(OLD,))
    after = TableView(
        sessions=1,
        pending=3,
        accuracy=Accuracy.UPPER_BOUND,
        since=1.5,
        started_total=8,
        ended_total=7,
        identified=(NEW,),
    )
    delta = vnc_delta(before, after, with_peers=True)
    assert delta is not None
    assert (delta.started, delta.ended, delta.sessions, delta.pending) == (3, 3, 1, 3)
    assert (delta.accuracy, delta.since.nanos) == (sessions_pb2.ACCURACY_UPPER_BOUND, 500_000_000)
    assert ([one.id for one in delta.opened], list(delta.closed)) == ([2], [1])


def test_without_peers_it_is_numbers_alone() -> None:
    delta = vnc_delta(TableView(identified=(OLD,)), TableView(identified=(NEW,)), with_peers=False)
    assert delta is not None
    assert (len(delta.opened), len(delta.closed)) == (0, 0)


def test_what_cannot_be_said_leaves_since_unset() -> None:
    delta = vnc_delta(TableView(since=1.0), TableView(since=None), with_peers=True)
    assert delta is not None
    assert not delta.HasField("since")


def test_more_than_it_has_room_for_is_none() -> None:
    many = tuple(Session(number, tcp(number), 1.0) for number in range(1, 258))
    assert vnc_delta(TableView(), TableView(identified=many), with_peers=True) is None
    assert vnc_delta(TableView(identified=many), TableView(), with_peers=True) is None
    assert vnc_delta(TableView(), TableView(started_total=2**32, ended_total=2**32), with_peers=True) is None
