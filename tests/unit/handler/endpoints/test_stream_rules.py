"""Tests the eleven rules of the stream as transcripts over a real socket.

`peer.say` sends an agent's message. The other calls of `peer` return the handler's response.
"""

import asyncio
import contextlib
import gc
import io
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from handler_service.endpoints.report_stream import ACK_DELAY
from handler_service.model import DesiredStatus, Outcome, OutcomeKind, Reason
from handler_service.publishing.policy import WritePolicy
from handler_service.reports.entry import EntryState
from servicestatus import contract, logs
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types
from testbed.waiting import wait_until_async
from tests.unit.handler.builders import (
    VMI,
    VNC,
    delta,
    goodbye,
    heartbeat,
    hello,
    snapshot,
    unknown_arm,
    unreachable,
)
from tests.unit.handler.peer import Handler, handler

INVALID = grpc.StatusCode.INVALID_ARGUMENT
#: Python's client says INTERNAL where a write of its own meets the end of the stream.
ENDED_WHILE_WRITING = {
    code: (code, grpc.StatusCode.INTERNAL) for code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED)
}
SHORT_LEASE = contract.StreamSettings(heartbeat_interval=0.1, lease=0.3)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Handler]:
    """A handler with the default terms."""
    async with handler(tmp_path) as running:
        yield running


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the handler logs, as a person sees it."""
    stream = io.StringIO()
    to_stream = logging.StreamHandler(stream)
    to_stream.setFormatter(logs.TextFormatter())
    logger = logging.getLogger("handler_service")
    level = logger.level
    logger.addHandler(to_stream)
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(to_stream)
    logger.setLevel(level)


def desired(server: Handler) -> DesiredStatus:
    found = server.manager.desired_status(VMI)
    assert found is not None
    return found


# --- 1. Hello comes first; what it says is a claim, and the socket is the proof ---


async def test_rule_1_hello_is_answered_with_welcome(server: Handler) -> None:
    """And with the VMI that the socket proves."""
    peer = server.dial()
    await peer.say(hello())
    welcome = (await peer.hear()).welcome
    assert welcome.vmi == types.VmiReference(namespace="default", name="vm")
    assert welcome.handler_version == "9.9"


@pytest.mark.parametrize("first", [snapshot(1), heartbeat(0), unknown_arm()])
async def test_rule_1_anything_else_first_is_refused(server: Handler, first: pb.ReportSessionsRequest) -> None:
    """A message of a later version too."""
    peer = server.dial()
    await peer.say(first)
    assert await peer.end() == (INVALID, "the first message must be hello")
    assert desired(server).reason is Reason.AGENT_STARTING


async def test_rule_1_a_claim_that_the_socket_does_not_prove_is_refused(server: Handler) -> None:
    """Whatever the message says, the number is that of the socket's VMI, or of none."""
    peer = server.dial()
    await peer.say(hello(vmi=types.VmiReference(namespace="default", name="another-vmi")))
    code, detail = await peer.end()
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert detail == "this socket is not of a VMI with name another-vmi"


async def test_rule_1_a_second_hello_ends_the_stream(server: Handler) -> None:
    """Once, first."""
    peer = server.dial()
    await peer.greet()
    await peer.say(hello())
    assert await peer.end() == (INVALID, "a second hello")


async def test_rule_1_an_empty_instance_is_refused(server: Handler) -> None:
    """It names a run of the agent."""
    peer = server.dial()
    await peer.say(hello(instance=""))
    assert (await peer.end())[0] is INVALID


async def test_rule_1_the_status_reaches_a_peer_that_is_being_written_to(server: Handler) -> None:
    """Welcome is on its way when the stream ends: gRPC cannot send both at once, and the peer must not wait forever."""
    first = server.dial()
    for _ in range(40):
        peer = server.dial(over=first)
        await peer.say(hello(), snapshot(1, 65_536))
        assert (await peer.end())[0] is INVALID


async def test_rule_1_hello_has_to_come_in_time(tmp_path: Path) -> None:
    """A stream that says nothing takes a place that others may need."""
    async with handler(tmp_path, hello_timeout=0.05) as server:
        peer = server.dial()
        assert await peer.end() == (grpc.StatusCode.DEADLINE_EXCEEDED, "no hello within 0.05 s")


async def test_rule_1_after_hello_there_is_no_such_limit(tmp_path: Path) -> None:
    """Silence is a matter of the lease."""
    async with handler(tmp_path, hello_timeout=2.0) as server:
        peer = server.dial()
        await peer.greet()
        await asyncio.sleep(2.2)
        await peer.say(snapshot(1, 1))
        await peer.hear_ack(1, 1)


# --- 2. After Welcome comes a Snapshot, which replaces everything ---


async def test_rule_2_a_snapshot_is_taken_published_and_acked(server: Handler) -> None:
    """The whole dialogue."""
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(7, 2))
    ack = await peer.hear_ack(7, 7)
    assert ack.state == pb.PUBLISH_STATE_PUBLISHED
    assert server.place.actual == {VMI: 2}


async def test_rule_2_a_later_snapshot_replaces_the_earlier(server: Handler) -> None:
    """A service that is missing has no sessions."""
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 2))
    await peer.hear_ack(1, 1)
    await peer.say(pb.ReportSessionsRequest(snapshot=pb.Snapshot(sequence=2)))
    await peer.say(snapshot(3, 0))
    await peer.hear_ack(3, 3)
    assert server.place.actual == {VMI: 0}


async def test_rule_2_without_a_snapshot_nothing_counts(server: Handler) -> None:
    """One is asked for."""
    peer = server.dial()
    await peer.greet()
    await peer.say(delta(1, 1, 0, 1))
    assert (await peer.hear()).resync_request == pb.ResyncRequest(reason=pb.RESYNC_REASON_NO_SNAPSHOT)
    assert not desired(server).synced


# --- 3. A Delta applies when it is the next one and adds up ---


async def test_rule_3_deltas_apply_in_order(server: Handler) -> None:
    """0 -> 1 -> 2 -> 1."""
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 0), delta(2, 1, 0, 1), delta(3, 1, 0, 2), delta(4, 0, 1, 1))
    await peer.hear_ack(4, 4)
    assert server.place.actual == {VMI: 1}


async def test_rule_3_a_gap_asks_for_a_snapshot_and_deltas_wait(server: Handler) -> None:
    """A delta that would apply is ignored until then; the snapshot counts, and what follows it."""
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 1))
    await peer.hear_ack(1, 1)
    await peer.say(delta(3, 1, 0, 2))
    assert (await peer.hear()).resync_request == pb.ResyncRequest(accepted=1, reason=pb.RESYNC_REASON_SEQUENCE_GAP)
    await peer.say(delta(2, 1, 0, 2), snapshot(4, 5), delta(5, 0, 1, 4))
    await peer.hear_ack(5, 5)
    assert server.place.actual == {VMI: 4}


async def test_rule_3_numbers_that_do_not_add_up_ask_for_a_snapshot(server: Handler) -> None:
    """1 + 1 is not 3."""
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 1))
    await peer.hear_ack(1, 1)
    await peer.say(delta(2, 1, 0, 3))
    assert (await peer.hear()).resync_request == pb.ResyncRequest(accepted=1, reason=pb.RESYNC_REASON_COUNT_MISMATCH)
    assert desired(server).sessions == 1


async def test_rule_3_a_sequence_that_was_seen_is_dropped(server: Handler) -> None:
    """It is covered by the ack of before."""
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 1), delta(2, 1, 0, 2), delta(2, 1, 0, 2), delta(3, 1, 0, 3))
    await peer.hear_ack(3, 3)
    assert desired(server).sessions == 3


async def test_rule_3_a_heartbeat_that_names_an_unseen_sequence_asks_for_a_snapshot(server: Handler) -> None:
    """A delta was lost between the agent's table and the stream."""
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 1), heartbeat(1))
    await peer.hear_ack(1, 1)
    await peer.say(heartbeat(2))
    assert (await peer.hear()).resync_request == pb.ResyncRequest(accepted=1, reason=pb.RESYNC_REASON_SEQUENCE_GAP)


# --- 4. Acks are cumulative and say two numbers ---


async def test_rule_4_published_follows_accepted_when_the_place_holds_it(server: Handler) -> None:
    """While the write is under way it is accepted, and pending."""
    server.place.open.clear()
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 1))
    assert (await peer.hear_ack(1, 0)).state == pb.PUBLISH_STATE_PENDING
    server.place.open.set()
    assert (await peer.hear_ack(1, 1)).state == pb.PUBLISH_STATE_PUBLISHED


async def test_rule_4_a_snapshot_of_what_the_place_holds_is_acked_at_once(server: Handler) -> None:
    """After a handler's restart most are, and nothing else would follow that the ack could wait for."""
    await wait_until_async(lambda: server.worker.scheduler.view(VMI), lambda at: at and at.actual, what="it is read")
    peer, clock = server.dial(), asyncio.get_running_loop().time
    await peer.greet()
    quickest = float("inf")
    for sequence in range(1, 6):  # a busy machine may be late once
        begin = clock()
        await peer.say(snapshot(sequence, 0))
        await peer.hear_ack(sequence, sequence)
        quickest = min(quickest, clock() - begin)
    assert quickest < ACK_DELAY / 2


async def test_rule_4_one_ack_speaks_for_many_messages(server: Handler) -> None:
    """Fifty messages are not answered one by one."""
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 0), *[delta(n, 1, 0, n - 1) for n in range(2, 51)])
    acks = 0
    while True:
        ack = (await peer.hear()).ack
        acks += 1
        if ack.accepted == ack.published == 50:
            break
    assert acks < 25


async def test_rule_4_a_failure_is_told_and_its_end_too(server: Handler) -> None:
    """With a text for people, of at most 256 bytes."""
    server.place.failures = [Outcome(OutcomeKind.FORBIDDEN, message="no " * 200)] * 30
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 1))
    while (ack := (await peer.hear()).ack).state != pb.PUBLISH_STATE_FAILING:
        pass
    assert (ack.accepted, ack.published) == (1, 0)
    assert ack.message == ("no " * 200)[:256]
    server.place.failures.clear()
    assert (await peer.hear_ack(1, 1)).message == ""


# --- 5. Messages carry state: what waits is merged ---


async def test_rule_5_a_storm_is_few_acks_and_few_writes(tmp_path: Path) -> None:
    """What is written is the newest state at the moment of writing."""
    async with handler(tmp_path, policy=WritePolicy(first_rise=0.2, rise=0.2, interval=0.2)) as server:
        peer = server.dial()
        await peer.greet()
        await peer.say(snapshot(1, 0), *[delta(n, 1, 0, n - 1) for n in range(2, 91)])
        await peer.hear_ack(90, 90)
        assert server.place.actual == {VMI: 89}
        assert len(server.place.history) <= 3


class DeafContext:
    """A stream whose peer says `requests` and never reads: gRPC's own buffers are full."""

    def __init__(self, *requests: pb.ReportSessionsRequest) -> None:
        self._requests = list(requests)

    async def read(self) -> pb.ReportSessionsRequest:
        await asyncio.sleep(0)
        if not self._requests:
            await asyncio.Event().wait()
        return self._requests.pop(0)

    async def write(self, response: pb.ReportSessionsResponse) -> None:
        await asyncio.Event().wait()


async def test_rule_5_what_waits_for_a_peer_that_does_not_read_is_merged(server: Handler) -> None:
    """Having to ask for forty snapshots costs no more than having to ask for one."""
    requests = [request for n in range(40) for request in (snapshot(2 * n + 1, 1), delta(2 * n + 2, 0, 0, 9))]
    context: Any = DeafContext(hello(), *requests)
    service = server.server._service
    task = asyncio.create_task(service.ReportSessions(None, context))  # type: ignore[arg-type]
    await wait_until_async(lambda: server.manager.reports.entry("a").resyncs, lambda n: n == 40, what="40 resyncs")
    (stream,) = service._streams
    assert list(stream._outbox) == ["resync_request"]
    assert stream._outbox["resync_request"].resync_request.accepted == 79
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert service._streams == set()


class BrokenContext(DeafContext):
    """A stream that breaks while a message is in flight, as gRPC reports it."""

    def __init__(self, *requests: pb.ReportSessionsRequest) -> None:
        super().__init__(*requests)
        self.writing = asyncio.Event()
        self.broken = asyncio.Event()

    async def write(self, response: pb.ReportSessionsResponse) -> None:
        self.writing.set()
        while not self.broken.is_set():
            with contextlib.suppress(asyncio.CancelledError):  # gRPC's own code is not cancelled
                await self.broken.wait()
        raise RuntimeError("Failed to execute a batch")


async def test_a_stream_that_breaks_while_it_ends_leaves_nothing_behind(server: Handler) -> None:
    """gRPC cancels it while it ends, and its last message fails after that: no task is left, and no error is logged."""
    mistakes: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, mistake: mistakes.append(mistake))
    before = asyncio.all_tasks()
    context: Any = BrokenContext(hello())
    service = server.server._service
    task = asyncio.create_task(service.ReportSessions(None, context))  # type: ignore[arg-type]
    await context.writing.wait()
    (stream,) = service._streams
    service.end("UNAVAILABLE", "over")
    await wait_until_async(lambda: stream._closing, what="it ends")
    task.cancel()
    await asyncio.sleep(0)  # the cancellation has arrived
    context.broken.set()
    await asyncio.gather(task, return_exceptions=True)
    await wait_until_async(asyncio.all_tasks, lambda tasks: tasks == before, what="no task is left")
    del task
    gc.collect()
    assert mistakes == []


# --- 6. Nothing for a lease is unknown, and unknown lowers nothing ---


async def test_rule_6_silence_for_a_lease_is_unknown_and_stays_published(tmp_path: Path) -> None:
    """The stream itself stays open."""
    async with handler(tmp_path, settings=SHORT_LEASE) as server:
        peer = server.dial()
        await peer.greet()
        await peer.say(snapshot(1, 2))
        await peer.hear_ack(1, 1)
        await wait_until_async(
            lambda: desired(server), lambda found: found.reason is Reason.AGENT_SILENT, what="the agent is silent"
        )
        assert (desired(server).sessions, desired(server).observed) == (2, False)
        await peer.say(heartbeat(1))
        await wait_until_async(lambda: desired(server).observed, what="the agent counts again")
        assert server.place.history == [2]


async def test_rule_6_heartbeats_keep_the_lease(tmp_path: Path) -> None:
    """One for each half lease is enough."""
    async with handler(tmp_path, settings=contract.StreamSettings(heartbeat_interval=0.5, lease=2.0)) as server:
        peer = server.dial()
        await peer.greet()
        await peer.say(snapshot(1, 1))
        before = server.manager.reports.entry("a").lease_until
        await peer.hear_ack(1, 1)
        await peer.say(heartbeat(1))
        await wait_until_async(
            lambda: server.manager.reports.entry("a").lease_until,
            lambda until: until > before,
            what="the lease moves on",
        )


async def test_rule_6_an_agent_that_does_not_see_lowers_nothing(server: Handler) -> None:
    """It lost libvirt and says 0, and not observed."""
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 2))
    await peer.hear_ack(1, 1)
    await peer.say(snapshot(2, 0, unreachable()))
    await peer.hear_ack(2, 2)
    assert server.place.actual == {VMI: 2}
    assert desired(server).reason is Reason.LIBVIRT_UNREACHABLE


async def test_rule_6_a_stream_that_breaks_is_not_yet_unknown(server: Handler) -> None:
    """The agent has a lease to be back."""
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 2))
    await peer.hear_ack(1, 1)
    await peer.hang_up()
    assert (await peer.end())[0] is grpc.StatusCode.OK
    await wait_until_async(
        lambda: server.manager.reports.entry("a").state,
        lambda state: state is EntryState.DISCONNECTED,
        what="the end is noticed",
    )
    assert (desired(server).sessions, desired(server).observed) == (2, True)


async def test_rule_6_goodbye_is_unknown_at_once(server: Handler) -> None:
    """And ends the stream well."""
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 2))
    await peer.hear_ack(1, 1)
    await peer.say(goodbye())
    assert (await peer.end())[0] is grpc.StatusCode.OK
    assert (desired(server).reason, desired(server).sessions) == (Reason.AGENT_STOPPED, 2)


async def test_rule_6_goodbye_without_a_domain_is_zero(server: Handler) -> None:
    """Proven, so it is published."""
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 2))
    await peer.hear_ack(1, 1)
    await peer.say(goodbye(domain_ended=True))
    await server.holds(0)
    assert desired(server).observed


# --- 7. A newer stream supersedes the older one ---


async def test_rule_7_the_older_stream_is_aborted(server: Handler) -> None:
    """As soon as the newer stream has sent Hello, and even if it sends nothing after that."""
    old = server.dial()
    await old.greet(hello(instance="before"))
    await old.say(snapshot(1, 5))
    await old.hear_ack(1, 1)
    new = server.dial()
    await new.greet(hello(instance="after"))
    assert await old.end() == (grpc.StatusCode.ABORTED, "superseded by a newer stream on this socket")
    await new.say(snapshot(1, 2))
    await new.hear_ack(1, 1)
    assert server.manager.reports.entry("a").instance == "after"


async def test_rule_7_the_older_stream_changes_nothing_any_more(server: Handler) -> None:
    """Its end, which comes later, does not end the newer one's value."""
    old, new = server.dial(), server.dial()
    await old.greet()
    await new.greet()
    await new.say(snapshot(1, 2))
    await new.hear_ack(1, 1)
    await old.say(*[snapshot(n, 60_000) for n in range(1, 30)])
    assert (await old.end())[0] in ENDED_WHILE_WRITING[grpc.StatusCode.ABORTED]
    assert (desired(server).sessions, desired(server).observed) == (2, True)
    assert server.manager.reports.entry("a").state is EntryState.REPORTING


async def test_rule_7_a_stream_without_hello_supersedes_nothing(server: Handler) -> None:
    """Nor does one that is refused."""
    good, idle, bad = server.dial(), server.dial(), server.dial()
    await good.greet()
    await bad.say(hello(instance=""))
    await bad.end()
    await good.say(snapshot(1, 1))
    await good.hear_ack(1, 1)
    await idle.hang_up()
    assert (await idle.end())[0] is grpc.StatusCode.OK


# --- 8. Nothing is kept on disk: nothing is written before the snapshot or the end of a lease ---


async def test_rule_8_a_restarted_handler_writes_nothing_before_the_snapshot(server: Handler) -> None:
    """The place holds what the handler of before has written."""
    server.place.actual[VMI] = 3
    peer = server.dial()
    await peer.greet()
    await peer.say(heartbeat(0))
    await wait_until_async(
        lambda: server.worker.scheduler.view(VMI),
        lambda view: view is not None and view.actual is not None,
        what="the place was read",
    )
    assert server.place.actual == {VMI: 3}
    await peer.say(snapshot(1, 1))
    await peer.hear_ack(1, 1)
    assert server.place.history == [1]


async def test_rule_8_nor_after_a_lease_without_an_agent(tmp_path: Path) -> None:
    """Then it is known to be unknown, and unknown lowers nothing."""
    async with handler(tmp_path, settings=SHORT_LEASE) as server:
        server.place.actual[VMI] = 3
        await wait_until_async(
            lambda: desired(server).reason, lambda reason: reason is Reason.NO_AGENT, what="the lease ends"
        )
        await asyncio.sleep(0.1)
        assert server.place.history == []


# --- 9. A handler that stops says so ---


async def test_rule_9_a_drain_is_announced_and_published_values_stay(server: Handler) -> None:
    """The grace is kept; then the stream ends."""
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 2))
    await peer.hear_ack(1, 1)
    server.server.drain(0.2)
    notice = (await peer.hear()).drain_notice
    assert notice.grace.ToTimedelta().total_seconds() == 0.2
    await peer.say(delta(2, 1, 0, 3))
    await peer.hear_ack(2, 2)
    assert await peer.end() == (grpc.StatusCode.UNAVAILABLE, "the handler stops")
    assert server.place.actual == {VMI: 3}


async def test_rule_9_a_draining_handler_takes_no_new_stream(server: Handler) -> None:
    """An agent that dials again at once would be thrown out a moment later."""
    server.server.drain(5.0)
    peer = server.dial()
    assert await peer.end() == (grpc.StatusCode.UNAVAILABLE, "the handler stops")


async def test_rule_9_a_socket_that_is_no_longer_served_ends_its_streams(server: Handler) -> None:
    """The pod is gone; what was published stays."""
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 2))
    await peer.hear_ack(1, 1)
    await server.server.stop()
    assert await peer.end() == (grpc.StatusCode.UNAVAILABLE, "this socket is no longer served")
    assert server.place.actual == {VMI: 2}


# --- 10. What the receiver does not know is ignored and counted ---


async def test_rule_10_an_unknown_arm_is_ignored_and_counted(server: Handler) -> None:
    """Raw bytes of a field that no version has yet."""
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 1), unknown_arm(), delta(2, 1, 0, 2))
    await peer.hear_ack(2, 2)
    assert server.manager.reports.entry("a").unknown_items == 1


async def test_rule_10_an_unknown_service_reason_and_accuracy_are_ignored_and_counted(server: Handler) -> None:
    """The rest of the message counts."""
    later = types.ServiceSessions(service=9, sessions=5)  # type: ignore[arg-type]
    known = types.ServiceSessions(service=VNC, sessions=1, accuracy=17)  # type: ignore[arg-type]
    observation = types.Observation(observed=True, reason=99)  # type: ignore[arg-type]
    peer = server.dial()
    await peer.greet()
    message = pb.Snapshot(sequence=1, services=[later, known], observation=observation)
    await peer.say(pb.ReportSessionsRequest(snapshot=message))
    await peer.hear_ack(1, 1)
    assert server.place.actual == {VMI: 1}
    assert server.manager.reports.entry("a").unknown_items == 3


async def test_rule_10_a_feature_is_in_force_where_both_sides_listed_it(server: Handler) -> None:
    """Peers that come without it are not even kept."""
    peer = server.dial()
    welcome = await peer.greet(hello(features=["telepathy"]))
    assert list(welcome.features) == ["identified-sessions", "service-observations"]
    known = types.IdentifiedSession(id=1, transport=types.TRANSPORT_TCP, peer_address="10.0.0.1", peer_port=1)
    service = types.ServiceSessions(service=VNC, sessions=1, identified=[known])
    await peer.say(pb.ReportSessionsRequest(snapshot=pb.Snapshot(sequence=1, services=[service])))
    await peer.hear_ack(1, 1)
    assert server.manager.reports.entry("a").services[VNC].identified == {}


# --- 11. A peer is bounded ---


async def test_rule_11_too_many_messages_end_the_stream(server: Handler, log: io.StringIO) -> None:
    """A flood is cut off."""
    peer = server.dial()
    await peer.greet()
    await peer.say(*[heartbeat(0)] * 5_000)
    assert (await peer.end())[0] in ENDED_WHILE_WRITING[grpc.StatusCode.RESOURCE_EXHAUSTED]
    assert "ended: RESOURCE_EXHAUSTED: too many messages" in log.getvalue()


async def test_rule_11_a_message_of_more_than_64_kib_ends_the_stream(server: Handler) -> None:
    """It is not even parsed."""
    peer = server.dial()
    await peer.greet()
    huge = pb.ReportSessionsRequest.FromString(b"\x7a\x80\x80\x04" + b"x" * 65_536)
    await peer.say(huge)
    assert (await peer.end())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_rule_11_a_fifth_stream_is_refused(server: Handler) -> None:
    """And the others go on; when one ends there is room again."""
    idle = [server.dial() for _ in range(2)]
    idle.append(server.dial(over=idle[0]))
    good = server.dial()
    await good.greet()
    await wait_until_async(lambda: len(server.server._service._streams), lambda n: n == 4, what="four streams")
    fifth = server.dial(over=good)
    assert await fifth.end() == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams on this socket")
    await good.say(snapshot(1, 1))
    await good.hear_ack(1, 1)
    await idle[0].hang_up()
    await idle[0].end()
    await server.dial(over=idle[0]).greet()


async def test_rule_11_more_sessions_than_allowed_end_the_stream(server: Handler) -> None:
    """And change nothing."""
    peer = server.dial()
    await peer.greet()
    await peer.say(snapshot(1, 65_536))
    assert await peer.end() == (INVALID, "more than 65535 sessions")
    assert not desired(server).synced


async def test_rule_11_hostile_text_does_not_reach_the_log_raw(server: Handler, log: io.StringIO) -> None:
    """One line, printable, whatever the claim was."""
    peer = server.dial()
    await peer.say(hello(vmi=types.VmiReference(name="x\nERROR handler_service: forged\x1b[2J\u202e")))
    assert (await peer.end())[0] is grpc.StatusCode.PERMISSION_DENIED
    await wait_until_async(lambda: log.getvalue().count("\n"), what="a line in the log")
    (line,) = log.getvalue().splitlines()
    assert line.isprintable()
    assert r"with name x\nERROR handler_service: forged\x1b[2J\u202e" in line


async def test_rule_11_refusals_do_not_fill_the_log(server: Handler, log: io.StringIO) -> None:
    """Repeated rejections of a peer are logged once for each kind of rejection."""
    first = server.dial()
    for _ in range(30):
        peer = server.dial(over=first)
        await peer.say(hello(instance=""))
        assert (await peer.end())[0] is INVALID
    peer = server.dial(over=first)
    await peer.say(snapshot(1))
    assert (await peer.end())[0] is INVALID
    await (peer := server.dial(over=first)).say(hello(vmi=types.VmiReference(name="other")))
    assert (await peer.end())[0] is grpc.StatusCode.PERMISSION_DENIED
    told = [line.partition(" ended: ")[2] for line in log.getvalue().splitlines()]
    assert told == [
        "INVALID_ARGUMENT: instance is empty or not printable ASCII vmi=default/vm",
        "PERMISSION_DENIED: this socket is not of a VMI with name other vmi=default/vm",
    ]


async def test_rule_11_a_peer_that_vanishes_leaves_no_trace_in_the_log(server: Handler, log: io.StringIO) -> None:
    """A killed agent is nothing that the handler did wrong."""
    for _ in range(10):
        peer = server.dial()
        await peer.greet()
        await peer.say(snapshot(1, 1))
        await peer.channel.close()
    await wait_until_async(lambda: server.server._service._streams, lambda found: not found, what="all streams ended")
    assert log.getvalue() == ""


async def test_a_time_of_the_year_9999_is_not_taken(server: Handler) -> None:
    """The number that came with it is."""
    peer = server.dial()
    await peer.greet()
    message = snapshot(1, 1)
    message.snapshot.services[0].since.seconds = 253_402_300_000
    await peer.say(message)
    await wait_until_async(lambda: desired(server).sessions, (1).__eq__, what="the snapshot is taken")
    assert desired(server).since is None
