"""The agent's words in the contract's."""

import pytest

from launcher_agent.events import Transport
from launcher_agent.reporting import encoding as messages
from launcher_agent.sessions.report import Counters, Observation
from launcher_agent.sessions.view import Accuracy, Session, TableView
from servicestatus.reasons import Reason
from servicestatus.v1 import sessions_pb2 as pb
from tests.unit.agent.fakes import tcp


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_word_in_the_contract(reason: Reason) -> None:
    seen = messages.observation(Observation(reason, since=1.5))
    assert pb.ObservationReason.Name(seen.reason) == f"OBSERVATION_REASON_{reason.name}"
    assert (seen.since.seconds, seen.since.nanos) == (1, 500_000_000)


def test_only_what_is_watched_is_observed() -> None:
    observed = {reason for reason in Reason if messages.observation(Observation(reason)).observed}
    assert observed == {Reason.WATCHING, Reason.NO_DOMAIN}


@pytest.mark.parametrize("accuracy", Accuracy)
def test_every_accuracy_has_its_word_in_the_contract(accuracy: Accuracy) -> None:
    assert pb.Accuracy.Name(messages.accuracy(accuracy)) == f"ACCURACY_{accuracy.name}"


@pytest.mark.parametrize("transport", Transport)
def test_every_transport_has_its_word_in_the_contract(transport: Transport) -> None:
    assert pb.Transport.Name(messages.transport(transport)) == f"TRANSPORT_{transport.name}"


def test_peers_are_told_to_those_who_may_know_them() -> None:
    view = TableView(sessions=1, identified=(Session(7, tcp(40001), 2.0),))
    (told,) = messages.vnc_sessions(view, with_peers=True).identified
    assert (told.id, told.transport, told.peer_address, told.peer_port) == (7, pb.TRANSPORT_TCP, "127.0.0.1", 40001)
    assert len(messages.vnc_sessions(view, with_peers=False).identified) == 0


def test_every_counter_is_told() -> None:
    told = messages.counters(Counters(1, 2, 3, 4, 5), 6)
    assert told == pb.AgentCounters(
        libvirt_connects=1,
        events_received=2,
        events_ignored=3,
        queries=4,
        table_overflows=5,
        unknown_messages=6,
    )
