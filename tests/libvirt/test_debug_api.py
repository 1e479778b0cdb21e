"""The debug APIs of both programs, by the real grpcurl: reflection, health, answers, and what is rejected."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.grpcurl import Grpcurl, GrpcurlError
from testbed.pool import ViewerPool
from testbed.vm import VirtualMachine
from testbed.waiting import wait_until
from tests.libvirt.pair import Pair

_NOT_FOUND, _INVALID_ARGUMENT, _UNIMPLEMENTED = 5, 3, 12


@pytest.fixture
def pair(vm: VirtualMachine) -> Iterator[Pair]:
    with Pair(vm) as both:
        yield both.start()


def test_both_ends_list_and_describe_their_services(pair: Pair) -> None:
    """A user needs no proto file."""
    assert Grpcurl(pair.directory / "agent.sock").services() == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "servicestatus.v1.AgentStatusService",
    ]
    debug_api = Grpcurl(pair.directory / "admin.sock")
    assert debug_api.services() == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "servicestatus.v1.ServiceStatusService",
    ]
    assert "rpc GetServiceStatus" in debug_api.describe("servicestatus.v1.ServiceStatusService")


@pytest.mark.parametrize(
    ("socket", "service"),
    [("agent.sock", "servicestatus.v1.AgentStatusService"), ("admin.sock", "servicestatus.v1.ServiceStatusService")],
)
def test_both_ends_answer_health_checks(pair: Pair, socket: str, service: str) -> None:
    """For the program, and for its service by name."""
    debug_api = Grpcurl(pair.directory / socket)
    assert debug_api.call("grpc.health.v1.Health/Check") == {"status": "SERVING"}
    assert debug_api.call("grpc.health.v1.Health/Check", {"service": service}) == {"status": "SERVING"}


def test_the_handler_tells_one_vmi_all_vmis_and_refuses_what_it_does_not_know(pair: Pair) -> None:
    """With a status and a message that says what was wrong."""
    debug_api = Grpcurl(pair.directory / "admin.sock")
    listed = debug_api.call("servicestatus.v1.ServiceStatusService/ListServiceStatuses")["statuses"]
    assert [status["vmi"] for status in listed] == [{"namespace": "default", "name": "vm"}]
    elsewhere = {"namespace": "elsewhere"}
    assert debug_api.call("servicestatus.v1.ServiceStatusService/ListServiceStatuses", elsewhere) == {}
    with pytest.raises(GrpcurlError, match="default/other") as caught:
        debug_api.call(
            "servicestatus.v1.ServiceStatusService/GetServiceStatus", {"namespace": "default", "name": "other"}
        )
    assert caught.value.code == _NOT_FOUND
    with pytest.raises(GrpcurlError) as caught:
        debug_api.call("servicestatus.v1.ServiceStatusService/GetServiceStatus", {"name": "vm"})
    assert caught.value.code == _INVALID_ARGUMENT


def test_both_ends_can_be_watched(pair: Pair, viewers: ViewerPool, tmp_path: Path) -> None:
    """The current state first, and then each change."""
    at_agent, at_handler = Grpcurl(pair.directory / "agent.sock"), Grpcurl(pair.directory / "admin.sock")
    with (
        at_agent.watch("servicestatus.v1.AgentStatusService/WatchAgentStatus", log=tmp_path / "a") as agent,
        at_handler.watch("servicestatus.v1.ServiceStatusService/WatchServiceStatuses", log=tmp_path / "h") as handler,
    ):
        wait_until(lambda: agent.messages, what="the agent has sent its state")
        wait_until(lambda: handler.messages, what="the handler has sent its state")
        viewers.establish(pair.machine.address)
        wait_until(
            lambda: agent.messages[-1]["status"]["services"][0].get("sessions"),
            lambda sessions: sessions == 1,
            what="the agent reports the viewer",
        )
        wait_until(
            lambda: handler.messages[-1]["status"]["publications"][0].get("observed", []),
            lambda observed: {"service": "SERVICE_VNC", "sessions": 1} in observed,
            what="the handler reports that it is published",
        )


def test_the_agent_reports_its_state_with_libvirt_and_with_the_handler(pair: Pair, viewers: ViewerPool) -> None:
    """And the sequences that the handler has acknowledged."""
    viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    status = wait_until(
        pair.agent_status,
        lambda status: status["handler"]["last_ack"].get("published") == status["handler"]["sent"],
        what="the value was acknowledged as published",
    )
    assert status["domain"] == pair.machine.name
    assert status["observation"]["reason"] == "OBSERVATION_REASON_WATCHING"
    assert status["handler"]["state"] == "STREAM_STATE_REPORTING"
    assert status["handler"]["vmi"] == {"namespace": "default", "name": "vm"}
    assert status["handler"]["last_ack"]["state"] == "PUBLISH_STATE_PUBLISHED"


def test_the_report_socket_serves_reports_alone(pair: Pair) -> None:
    """A process in the pod can query nothing there: neither by reflection nor by name."""
    with pytest.raises(GrpcurlError) as caught:
        Grpcurl(pair.handler_socket).services()
    assert "reflection" in caught.value.message
