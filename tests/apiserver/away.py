"""Two controllers and eight handlers, of which most die, freeze, lose their VMI or publish elsewhere at one moment.

A watch records what each companion showed, and when.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types
from testbed.waiting import wait_until
from tests.apiserver.client import Client, Event, Recorder
from tests.apiserver.controllers import LEASE, Controller
from tests.apiserver.identities import NAMESPACE, companion_of
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peer, Peers
from tests.apiserver.vmis import NODE_LABEL, Vmi, told
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object

#: Seconds until a test times out; longer than the promise, so that a failure shows by how much it was missed.
DEADLINE = 70.0


#: An agent of this release, which reports a redirected USB device; consoles are not watched.
POLL = "--poll=usb-redirection=5s"
HELLO = pb.Hello(instance="run", features=["service-observations"])
ATTACHED = types.ServiceSessions(
    service=types.SERVICE_USB_REDIRECTION,
    sessions=1,
    accuracy=types.ACCURACY_EXACT,
    observation=types.Observation(observed=True, reason=types.OBSERVATION_REASON_WATCHING),
)


@dataclass
class Case:
    """One VMI, its handler, and every version of its companion."""

    vmi: Vmi
    node: Node
    handler: Handler
    peer: Peer
    versions: Recorder

    def marked(self) -> Event:
        """Wait for the event that marked its companion, and return it."""

        def look() -> Event | None:
            events = list(self.versions.events)
            return next((event for event in events if told(event.object)[3] == "HandlerAway"), None)

        event = wait_until(look, what=f"{self.vmi.name} is marked", timeout=DEADLINE)
        assert event is not None
        return event


@dataclass
class Cluster:
    """The nodes, and the moment at which all of it happens."""

    client: Client
    moment: float
    #: When the Leases of handlers that died were renewed last, by their nodes' names.
    renewed: dict[str, float]
    first: Controller
    second: Controller
    killed: Case
    killed_idle: Case
    back: Case
    frozen: Case
    moved: Case
    elsewhere: Case
    working: Case
    refused: Case
    orphan: str


@contextlib.contextmanager
def running(control_plane: ControlPlane, folder: Path) -> Iterator[Cluster]:
    """Yields it after the moment. `folder` has the controllers' logs."""
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(contextlib.closing(Client(control_plane.kubeconfig)))
        peers = stack.enter_context(Peers())

        _refuse_withdrawal(client, "refused")
        first = stack.enter_context(Controller(control_plane, folder, "first"))
        second = stack.enter_context(Controller(control_plane, folder, "second"))
        numbers = {
            "killed": 2,
            "killed-idle": 0,
            "back": 2,
            "frozen": 1,
            "moved": 1,
            "elsewhere": 1,
            "working": 3,
            "refused": 0,
        }
        # All are started before waiting for any: each needs seconds of CPU.
        nodes = {name: stack.enter_context(Node(control_plane, f"node-{name}")) for name in numbers}
        vmis = {name: node.run(Vmi(client, "default", name)) for name, node in nodes.items()}
        handlers = {
            name: stack.enter_context(node.handler(LEASE, POLL, publisher="companion")) for name, node in nodes.items()
        }

        def case(name: str) -> Case:
            peer = peers.new(vmis[name].socket).connect(HELLO, timeout=90)
            peer.snapshot(numbers[name], others=[ATTACHED])
            peer.wait_published(timeout=60)
            versions = stack.enter_context(vmis[name].record_companion())
            return Case(vmis[name], nodes[name], handlers[name], peer, versions)

        killed, killed_idle, back, frozen = case("killed"), case("killed-idle"), case("back"), case("frozen")
        moved, elsewhere, working, refused = case("moved"), case("elsewhere"), case("working"), case("refused")
        gone = Vmi(client, "default", "gone").create("node-gone", phase="Running")
        orphan = _orphan(client, gone)
        moment = time.monotonic()
        for one in (killed, killed_idle, back):
            one.handler.kill()
        renewed = {one: _renewed(client, one) for one in ("killed", "killed-idle")}
        frozen.handler.freeze()
        moved.vmi.patch(labels={NODE_LABEL: "node-without"}, nodeName="node-without")
        elsewhere.handler.stop()
        stack.enter_context(elsewhere.node.handler(LEASE, publisher="vmi-status"))
        refused.peer.report(0, types.OBSERVATION_REASON_LIBVIRT_UNREACHABLE)
        # Either replica suffices.
        first.kill()
        cases = {"killed": killed, "killed_idle": killed_idle, "back": back, "frozen": frozen}
        others = {"moved": moved, "elsewhere": elsewhere, "working": working, "refused": refused}
        yield Cluster(client, moment, renewed, first, second, **cases, **others, orphan=orphan)


def _renewed(client: Client, name: str) -> float:
    """Return when the handler of the node renewed its Lease last, in seconds of `time.monotonic()`."""
    lease = client.get(f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/handler-node-{name}")
    return datetime.fromisoformat(lease["spec"]["renewTime"]).timestamp() + time.monotonic() - time.time()


def _orphan(client: Client, vmi: Vmi) -> str:
    """As a backup tool restores it: a companion with a node's label, without an owner, whose VMI does not exist."""
    owned = companion_of(client.get(vmi.path), "node-working")
    metadata = {key: value for key, value in owned["metadata"].items() if key != "ownerReferences"}
    client.post(vmi.companion_path.rpartition("/")[0], {**owned, "metadata": metadata})
    status = {
        "status": {
            "vmiUID": vmi.uid,
            "nodeName": "node-working",
            "conditions": [_condition("Observed", "True", "Watching"), _condition("Idle", "True", "NobodyConnected")],
        }
    }
    client.patch(f"{vmi.companion_path}/status", status)
    vmi.delete()
    return vmi.companion_path


def _refuse_withdrawal(client: Client, name: str) -> None:
    """From soon on, no handler may write that the number in the companion `name` is not observed."""
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "refuse-withdrawal"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": ["servicestatus.kubevirt.io"],
                        "apiVersions": ["*"],
                        "operations": ["UPDATE"],
                        "resources": ["virtualmachineinstanceservicestatuses/status"],
                        "resourceNames": [name],
                    }
                ]
            },
            "matchConditions": [
                {"name": "handler", "expression": "!request.userInfo.username.endsWith('-controller')"},
            ],
            "validations": [
                {
                    "expression": "!object.status.conditions.exists(c, c.type == 'Observed' && c.status != 'True')",
                    "message": "refused by the test",
                }
            ],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "refuse-withdrawal"},
        "spec": {"policyName": "refuse-withdrawal", "validationActions": ["Deny"]},
    }
    base = "/apis/admissionregistration.k8s.io/v1"
    client.post(f"{base}/validatingadmissionpolicies", policy)
    client.post(f"{base}/validatingadmissionpolicybindings", binding)


def _condition(type_: str, status: str, reason: str) -> Object:
    time_ = "2026-01-01T00:00:00Z"
    return {"type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": time_}
