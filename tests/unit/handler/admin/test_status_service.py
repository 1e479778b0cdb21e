"""ServiceStatusService, health and reflection on a real admin socket, by gRPC stubs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from handler_service.admin.status_service import MAX_WATCHERS, SERVICE, WATCH_INTERVAL, StatusService, admin_server
from handler_service.model import Assignment, Endpoint, Outcome, OutcomeKind, VmiId
from servicestatus.v1 import service_status_service_pb2 as pb
from servicestatus.v1 import service_status_service_pb2_grpc as pb_grpc
from servicestatus.v1 import session_report_service_pb2 as report_pb
from servicestatus.v1 import sessions_pb2 as types
from testbed.waiting import wait_until_async
from tests.unit.handler.builders import OTHER_VMI, VMI, VNC, delta, snapshot, unknown_arm
from tests.unit.handler.peer import DEADLINE, Handler, Peer, handler

#: Wall time is this much ahead of the handler's clock, in seconds.
AHEAD = 1_000_000.0


class Admin:
    """A handler with its admin socket, and a client of it."""

    def __init__(self, server: Handler, socket: Path) -> None:
        self.handler = server
        self.socket = socket
        self.service = StatusService(server.manager, lambda monotonic: monotonic + AHEAD)
        self.server = admin_server(socket, self.service)
        self.channel = grpc.aio.insecure_channel(f"unix:{socket}")
        self.stub: Any = pb_grpc.ServiceStatusServiceStub(self.channel)
        self.health: Any = health_pb2_grpc.HealthStub(self.channel)

    async def get(self, namespace: str, name: str) -> pb.VmiServiceStatus:
        request = pb.GetServiceStatusRequest(namespace=namespace, name=name)
        response = await self.stub.GetServiceStatus(request, timeout=DEADLINE)
        assert isinstance(response, pb.GetServiceStatusResponse)
        return response.status

    async def list(self, namespace: str = "") -> list[str]:
        """namespace/name of each VMI, in the order given."""
        request = pb.ListServiceStatusesRequest(namespace=namespace)
        response = await self.stub.ListServiceStatuses(request, timeout=DEADLINE)
        return [f"{status.vmi.namespace}/{status.vmi.name}" for status in response.statuses]

    def watch(self, namespace: str = "") -> Any:
        return self.stub.WatchServiceStatuses(pb.WatchServiceStatusesRequest(namespace=namespace))

    async def report(self, *requests: report_pb.ReportSessionsRequest) -> Peer:
        """An agent that greets and says `requests`."""
        peer = self.handler.dial()
        await peer.greet()
        await peer.say(*requests)
        return peer


async def seen(watch: Any) -> pb.WatchServiceStatusesResponse:
    """The next message of a watch."""
    async with asyncio.timeout(DEADLINE):
        response = await watch.read()
    assert isinstance(response, pb.WatchServiceStatusesResponse)
    return response


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    """One endpoint, default/vm."""
    async with handler(tmp_path) as server:
        made = Admin(server, tmp_path / "admin.sock")
        async with made.server:
            yield made
        await made.channel.close()


async def failed(call: Any) -> tuple[grpc.StatusCode, str]:
    """The status of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code(), error.value.details() or ""


# --- Get ---


async def test_get_tells_all_that_is_known(admin: Admin) -> None:
    """The status shows the reports, the result and the publications."""
    service = types.ServiceSessions(service=VNC, sessions=2, pending=1, accuracy=types.ACCURACY_UPPER_BOUND)
    service.since.FromSeconds(1_767_268_800)
    observation = types.Observation(observed=True, reason=types.OBSERVATION_REASON_WATCHING)
    counters = types.AgentCounters(events_received=12)
    full = report_pb.Snapshot(sequence=4, observation=observation, services=[service], counters=counters)
    peer = await admin.report(report_pb.ReportSessionsRequest(snapshot=full), unknown_arm())
    await peer.hear_ack(4, 4)
    entry = admin.handler.manager.reports.entry("a")

    status = await admin.get("default", "vm")
    assert status.vmi == types.VmiReference(namespace="default", name="vm")
    (summary,) = status.services
    assert (summary.service, summary.sessions, summary.pending) == (VNC, 2, 1)
    assert (summary.observed, summary.message) == (True, "")
    assert summary.accuracy == types.ACCURACY_UPPER_BOUND
    assert summary.since.seconds == 1_767_268_800
    (endpoint,) = status.endpoints
    assert (endpoint.socket, endpoint.state) == (str(admin.handler.socket), pb.ENDPOINT_STATE_REPORTING)
    assert (endpoint.instance, endpoint.observation, list(endpoint.services)) == ("run-1", observation, [service])
    assert (endpoint.accepted, endpoint.published, endpoint.streams) == (4, 4, 1)
    assert (endpoint.resyncs, endpoint.unknown_items, endpoint.counters) == (0, 1, counters)
    assert entry.last_seen is not None
    assert endpoint.last_seen.ToMicroseconds() == round((entry.last_seen + AHEAD) * 1e6)
    assert endpoint.lease_until.ToMicroseconds() - endpoint.last_seen.ToMicroseconds() == 15_000_000
    (worker,) = status.publications
    assert (worker.publisher, worker.state) == ("memory", report_pb.PUBLISH_STATE_PUBLISHED)
    assert (worker.outcome, worker.message) == ("written", "")
    assert list(worker.observed) == [pb.PublishedSessions(service=VNC, sessions=2)]
    assert (worker.writes, worker.failures, worker.HasField("last_write")) == (1, 0, True)


async def test_each_service_has_a_summary_of_its_own(admin: Admin) -> None:
    """Its own observation, and what the agent reported of it unchanged."""
    failed = types.Observation(observed=False, reason=types.OBSERVATION_REASON_QUERY_FAILED, message="refused")
    vnc = types.ServiceSessions(service=VNC, sessions=1, accuracy=types.ACCURACY_EXACT)
    spice = types.ServiceSessions(service=types.SERVICE_SPICE, sessions=2, pending=1, observation=failed)
    spice.accuracy = types.ACCURACY_UPPER_BOUND
    usb = types.ServiceSessions(service=types.SERVICE_USB_REDIRECTION, sessions=3, observation=failed)
    usb.accuracy = types.ACCURACY_EXACT
    usb.sampled_every.FromSeconds(5)
    watching = types.Observation(observed=True, reason=types.OBSERVATION_REASON_WATCHING)
    full = report_pb.Snapshot(sequence=1, observation=watching, services=[vnc, usb, spice])
    peer = await admin.report(report_pb.ReportSessionsRequest(snapshot=full))
    await peer.hear_ack(1, 1)

    status = await admin.get("default", "vm")
    of_vnc, of_usb, of_spice = status.services
    assert (of_vnc.service, of_vnc.sessions, of_vnc.observed) == (VNC, 1, True)
    # This handler does not ask for polls, so that what the agent reports of them is shown and not published.
    assert (of_usb.service, of_usb.sessions, of_usb.message) == (types.SERVICE_USB_REDIRECTION, 3, "NotWatched")
    assert (of_spice.service, of_spice.sessions, of_spice.pending) == (types.SERVICE_SPICE, 2, 1)
    assert (of_spice.observed, of_spice.message) == (False, "QueryFailed: refused")
    (endpoint,) = status.endpoints
    assert list(endpoint.services) == [vnc, usb, spice]


async def test_get_tells_before_anybody_spoke(admin: Admin) -> None:
    """Unset is unset: no time of 1970."""
    status = await admin.get("default", "vm")
    assert status.endpoints[0].state == pb.ENDPOINT_STATE_WAITING
    assert not status.endpoints[0].HasField("last_seen")
    assert not status.endpoints[0].HasField("observation")
    assert (status.services[0].observed, status.services[0].message) == (False, "AgentStarting")
    assert not status.services[0].HasField("since")


async def test_get_tells_why_nothing_is_published(admin: Admin) -> None:
    """With a text that is cut, and is UTF-8 even where a path is not."""
    admin.handler.place.failures = [Outcome(OutcomeKind.ERROR, message="/tmp/\udcff" + "x" * 500)] * 10_000
    await admin.report(snapshot(1, 1))

    async def worker() -> pb.PublicationStatus:
        return (await admin.get("default", "vm")).publications[0]

    status = await wait_until_async(worker, lambda found: found.failures > 0, what="a try has failed")
    assert status.state == report_pb.PUBLISH_STATE_FAILING
    assert (status.outcome, status.message) == ("error", "/tmp/?" + "x" * 250)
    assert (status.writes, status.HasField("last_write")) == (0, False)


async def test_a_hostile_time_can_be_told(admin: Admin) -> None:
    """One agent must not be able to break the list of all VMIs."""
    service = types.ServiceSessions(service=VNC, sessions=1)
    service.since.seconds, service.since.nanos = 253_402_300_799, 999_999_999
    observation = types.Observation(observed=True)
    observation.since.seconds = 2**62
    message = report_pb.Snapshot(sequence=1, services=[service], observation=observation)
    peer = await admin.report(report_pb.ReportSessionsRequest(snapshot=message))
    await peer.hear_ack(1, 1)
    status = await admin.get("default", "vm")
    assert not status.services[0].HasField("since")
    assert not status.endpoints[0].observation.HasField("since")


@pytest.mark.parametrize(("namespace", "name"), [("", ""), ("default", ""), ("", "vm")])
async def test_get_needs_a_name(admin: Admin, namespace: str, name: str) -> None:
    """Both halves of it; the error names the call that needs none."""
    assert await failed(admin.get(namespace, name)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "namespace and name must be given; ListServiceStatuses shows the VMIs of this handler",
    )


@pytest.mark.parametrize(("namespace", "name"), [("default", "nobody"), ("other", "vm")])
async def test_get_of_a_stranger_is_not_found(admin: Admin, namespace: str, name: str) -> None:
    """And says so."""
    assert await failed(admin.get(namespace, name)) == (
        grpc.StatusCode.NOT_FOUND,
        f"this handler has no endpoint of {namespace}/{name}; ListServiceStatuses shows the VMIs of this handler",
    )


async def test_get_of_a_name_that_is_served_twice_is_the_one_that_was_heard_last(admin: Admin) -> None:
    """A VMI that was deleted and created again has another UID; UIDs have no order."""
    manager = admin.handler.manager
    for number, uid in enumerate(["zzz", "aaa"]):
        manager.add(Endpoint(uid, VmiId("ns", "twice", uid), f"/{uid}"))
        manager.reports.opened(uid, "run", "", 100.0 + number)
    assert (await admin.get("ns", "twice")).vmi.uid == "aaa"


# --- List ---


async def test_list_is_ordered_and_may_be_of_one_namespace(admin: Admin) -> None:
    """By namespace and name."""
    manager = admin.handler.manager
    manager.add(Endpoint("b", OTHER_VMI, "/b"))
    manager.add(Endpoint("c", VmiId("a", "z", ""), "/c"))
    assert await admin.list() == ["a/z", "default/other", "default/vm"]
    assert await admin.list("default") == ["default/other", "default/vm"]
    assert await admin.list("nowhere") == []


# --- Watch ---


async def test_watch_tells_all_once_and_then_each_change(admin: Admin) -> None:
    """0 -> 1 -> 2, as far as it is not merged."""
    admin.handler.manager.add(Endpoint("b", OTHER_VMI, "/b"))
    watch = admin.watch()
    first = [await seen(watch), await seen(watch)]
    assert [response.status.vmi.name for response in first] == ["other", "vm"]
    peer = await admin.report(snapshot(1, 1))
    while (response := await seen(watch)).status.endpoints[0].published < 1:
        assert response.status.vmi.name == "vm"
    await peer.say(delta(2, 1, 0, 2))
    while (response := await seen(watch)).status.publications[0].observed[0].sessions != 2:
        pass
    watch.cancel()


async def test_watch_tells_what_is_removed(admin: Admin) -> None:
    """With its name alone."""
    manager = admin.handler.manager
    manager.add(Endpoint("b", OTHER_VMI, "/b"))
    watch = admin.watch()
    await seen(watch)
    await seen(watch)
    manager.remove("b")
    removed = await seen(watch)
    assert removed == pb.WatchServiceStatusesResponse(
        status=pb.VmiServiceStatus(vmi=types.VmiReference(namespace="default", name="other")), removed=True
    )
    watch.cancel()


async def test_watch_of_a_namespace_hears_of_no_other(admin: Admin) -> None:
    """Its changes neither."""
    manager = admin.handler.manager
    manager.add(Endpoint("b", VmiId("other", "vm", ""), "/b"))
    watch = admin.watch("other")
    assert (await seen(watch)).status.vmi.namespace == "other"
    await (await admin.report(snapshot(1, 1))).hear_ack(1, 1)
    manager.remove("b")
    assert (await seen(watch)).removed
    watch.cancel()


async def test_changes_that_wait_for_a_slow_reader_are_merged(admin: Admin) -> None:
    """It reads the newest state, not the history of a storm."""
    watch = admin.watch()
    await seen(watch)
    manager = admin.handler.manager
    stream = manager.reports.opened("a", "run", "x" * 64, 0.0)
    assert stream
    for _ in range(20_000):
        manager.answered(VMI)
        await asyncio.sleep(0)
    manager.add(Endpoint("b", OTHER_VMI, "/b"))
    messages = 0
    while (await seen(watch)).status.vmi.name != "other":
        messages += 1
    assert messages < 5_000
    watch.cancel()


async def test_a_vmi_that_changes_all_the_time_is_sent_once_in_an_interval(admin: Admin) -> None:
    """Otherwise the agents of sixty VMs would decide how much of a core a watcher takes."""
    watch = admin.watch()
    await seen(watch)
    loop = asyncio.get_running_loop()
    messages: list[float] = []

    async def read() -> None:
        while True:
            await seen(watch)
            messages.append(loop.time())

    reader = asyncio.create_task(read())
    began = loop.time()
    while len(messages) < 3:
        admin.handler.manager.answered(VMI)
        await asyncio.sleep(0.001)
    reader.cancel()
    watch.cancel()
    assert loop.time() - began >= 2 * WATCH_INTERVAL - 0.1


async def test_a_seventeenth_watcher_is_refused_and_one_that_leaves_makes_room(admin: Admin) -> None:
    """Each costs a copy of what changes."""
    watches = [admin.watch() for _ in range(MAX_WATCHERS)]
    for watch in watches:
        await seen(watch)
    assert await failed(admin.watch().read()) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "more than 16 watchers; ListServiceStatuses shows the VMIs of this handler",
    )
    watches.pop().cancel()
    await wait_until_async(lambda: len(admin.service._watchers), lambda n: n == 15, what="the watcher is gone")
    watches.append(admin.watch())
    await seen(watches[-1])
    for watch in watches:
        watch.cancel()
    await wait_until_async(lambda: admin.service._watchers, lambda found: not found, what="all watchers are gone")
    assert len(admin.handler.manager._watchers) == 0


async def test_a_handler_that_stops_ends_its_watches(admin: Admin) -> None:
    """The existing watches and new ones end; the end is not reported as a removal."""
    watch = admin.watch()
    await seen(watch)
    await admin.server.set_serving(False)
    assert await failed(watch.read()) == (grpc.StatusCode.UNAVAILABLE, "the handler stops")
    assert await failed(admin.watch().read()) == (grpc.StatusCode.UNAVAILABLE, "the handler stops")
    assert await admin.list() == ["default/vm"]


# --- health, reflection, the socket ---


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_health_follows_serving(admin: Admin, service: str) -> None:
    """For the whole server, and by name."""
    request = health_pb2.HealthCheckRequest(service=service)
    response = await admin.health.Check(request, timeout=DEADLINE)
    assert response.status == health_pb2.HealthCheckResponse.SERVING
    await admin.server.set_serving(False)
    response = await admin.health.Check(request, timeout=DEADLINE)
    assert response.status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_health_of_a_stranger_is_not_found(admin: Admin) -> None:
    """As grpc.health.v1 says."""
    code, _ = await failed(admin.health.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=DEADLINE))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_the_services_and_gives_their_descriptors(admin: Admin) -> None:
    """So that grpcurl needs no proto files."""
    channel: Any = admin.channel  # the stub's types know no asyncio
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    listed = (await call.read()).list_services_response.service
    assert sorted(service.name for service in listed) == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "servicestatus.v1.ServiceStatusService",
    ]
    await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE))
    (raw, *_) = (await call.read()).file_descriptor_response.file_descriptor_proto
    assert FileDescriptorProto.FromString(raw).name == "servicestatus/v1/service_status_service.proto"
    call.cancel()


async def test_nothing_on_the_admin_socket_can_report(admin: Admin) -> None:
    """The identity of a report is the socket that it comes by."""
    assert (await Peer(admin.channel).end())[0] is grpc.StatusCode.UNIMPLEMENTED


async def test_a_large_request_is_refused(admin: Admin) -> None:
    """A valid request contains only a name."""
    code, _ = await failed(admin.get("default", "x" * 20_000))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_vmi_without_an_endpoint_is_told_too(admin: Admin) -> None:
    """The VMI is assigned to this handler, and no agent reports it."""
    admin.handler.manager.assign(OTHER_VMI, Assignment(owned=True))
    status = await admin.get("default", "other")
    assert (list(status.endpoints), status.services[0].observed) == ([], False)
    assert status.services[0].message == "NoAgent"
