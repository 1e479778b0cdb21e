"""The debug APIs: grpcurl through `kubectl port-forward` and at a node's sockets, and what they do not serve."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from testbed.grpcurl import Grpcurl, GrpcurlError, binary
from testbed.pool import ViewerPool
from tests.apiserver.vmis import seen
from tests.cluster.objects import pod
from tests.cluster.workloads import Workloads
from tests.node.installation import DAEMON_SET, LIST, NAMESPACE, Installation
from tests.node.launcher.kubevirt import KubeVirt, Machine
from tests.node.place import Ability, Place

PORT = 8186
METRICS_PORT = 8187
COMMON = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
HANDLERS = "servicestatus.v1.ServiceStatusService"
AGENTS = "servicestatus.v1.AgentStatusService"
REPORT = "servicestatus.v1.SessionReportService/ReportSessions"


@pytest.fixture(scope="module")
def machine(place: Place, session_installation: Installation) -> Iterator[Machine]:
    """A VM with one viewer, for all tests here."""
    session_installation.ensure()
    namespace = place.cluster.create_namespace()
    with ViewerPool() as viewers:
        started = KubeVirt(place, namespace).start()
        viewers.establish(started.display)
        started.vmi.wait_told(seen(1))
        yield started
    place.cluster.delete_namespace(namespace)


@pytest.fixture
def forwarded(cluster: Workloads, installation: Installation) -> Iterator[int]:
    """A port of the admin's machine that is forwarded to the handler's debug API."""
    with cluster.port_forward(NAMESPACE, DAEMON_SET, PORT) as port:
        yield port


def grpcurl(port: int, *words: str) -> str:
    """As an admin types it."""
    command = [str(binary()), "-plaintext", "-max-time", "60", f"localhost:{port}", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def methods(description: str) -> set[str]:
    return {line.split()[1] for line in description.splitlines() if line.strip().startswith("rpc ")}


def of(machine: Machine, answer: Any) -> Any:
    return next(status for status in answer["statuses"] if status["vmi"]["uid"] == machine.vmi.uid)


def test_an_admin_asks_the_handler_by_a_forwarded_port(machine: Machine, forwarded: int) -> None:
    """The services that it offers, and what it knows of a VM."""
    assert set(grpcurl(forwarded, "list").split()) == {HANDLERS, *COMMON}
    status = of(machine, json.loads(grpcurl(forwarded, LIST)))
    assert status["services"][0]["sessions"] == 1
    assert status["endpoints"][0]["pod_uid"] == machine.launcher.uid


def test_an_admin_asks_the_handler_by_kubectl_alone(
    cluster: Workloads, machine: Machine, installation: Installation
) -> None:
    """As docs/troubleshooting.md says: the image has no shell, but the handler's own client."""
    pod_of_handler = (installation.handler.name, "--container=handler")
    table = cluster.kubectl("exec", f"--namespace={NAMESPACE}", *pod_of_handler, "--", "handler-service", "status")
    rows = [line.split() for line in table.splitlines()]
    assert [f"{machine.vmi.namespace}/{machine.vmi.name}", "VNC", "1", "True", "False"] in [row[:5] for row in rows]


@pytest.mark.needs(Ability.LOOK)
def test_an_agent_is_asked_from_its_node(machine: Machine) -> None:
    """Its socket is next to the handler's, in the pod's directory."""
    agent = Grpcurl(machine.launcher.agent_socket)
    assert set(agent.services()) == {AGENTS, *COMMON}
    status = agent.call(f"{AGENTS}/GetAgentStatus")["status"]
    assert status["services"][0]["sessions"] == 1
    assert status["handler"]["state"] == "STREAM_STATE_REPORTING"


@pytest.mark.needs(Ability.LOOK)
def test_nothing_can_be_changed_by_a_debug_api(machine: Machine, forwarded: int) -> None:
    """Both are read-only; reports are accepted at a pod's own socket, and nowhere else."""
    agent = Grpcurl(machine.launcher.agent_socket)
    assert methods(agent.describe(AGENTS)) == {"GetAgentStatus", "WatchAgentStatus"}
    assert methods(grpcurl(forwarded, "describe", HANDLERS)) == {
        "GetServiceStatus",
        "ListServiceStatuses",
        "WatchServiceStatuses",
    }
    with pytest.raises(GrpcurlError, match="Method not found"):
        agent.call(REPORT)
    with pytest.raises(AssertionError, match="Code: Unimplemented"):
        grpcurl(forwarded, REPORT)


def test_no_other_pod_reaches_the_handlers_debug_api(place: Place, installation: Installation, namespace: str) -> None:
    """It is on the pod's loopback. The port of its probes and metrics is open to all pods."""
    place.cluster.run_pod(pod("stranger", namespace, image=place.images.busybox, command=["sleep", "3600"]))
    address = installation.handler.object()["status"]["podIP"]

    def reaches(port: int) -> bool:
        script = f"nc -w 5 {address} {port} < /dev/null && echo reached || echo refused"
        return place.cluster.exec(namespace, "stranger", "sh", "-c", script) == "reached\n"

    assert reaches(METRICS_PORT)
    assert not reaches(PORT)
