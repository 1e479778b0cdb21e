"""USB redirections, consoles and SPICE clients, as a handler that polls publishes them. The agents are scripted."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types
from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peer, Peers
from tests.apiserver.vmis import Vmi, seen
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import virtual_machine_instance

pytestmark = pytest.mark.usefixtures("service_status_schema")

USB, CONSOLE, SPICE = types.SERVICE_USB_REDIRECTION, types.SERVICE_SERIAL_CONSOLE, types.SERVICE_SPICE
WATCHING = types.Observation(observed=True, reason=types.OBSERVATION_REASON_WATCHING)
FAILED = types.Observation(observed=False, reason=types.OBSERVATION_REASON_QUERY_FAILED)
FEATURES = ["identified-sessions", "service-observations"]
NOT_WATCHED = ("Unknown", "NotWatched")


@pytest.fixture(scope="module")
def polling_node(control_plane: ControlPlane, installed: None) -> Iterator[Node]:
    with Node(control_plane, "polling-node") as made:
        yield made


@pytest.fixture(scope="module")
def polling_handler(polling_node: Node) -> Iterator[Handler]:
    """A handler whose flag is in the environment, as `kubectl set env` puts it there."""
    with polling_node.handler(env={"HANDLER_SERVICE_POLL": "usb-redirection=5s serial-console=2s"}) as running:
        yield running


@pytest.fixture
def node(polling_node: Node) -> Node:
    return polling_node


@pytest.fixture
def handler(polling_handler: Handler) -> Handler:
    return polling_handler


def service(number: int, sessions: int, observation: types.Observation = WATCHING) -> types.ServiceSessions:
    """What an agent reports of a service; it polls those that are not reported by events."""
    found = types.ServiceSessions(
        service=types.Service.Name(number), sessions=sessions, accuracy=types.ACCURACY_EXACT, observation=observation
    )
    if number != SPICE:
        found.sampled_every.FromSeconds(5)
    return found


def connected(peers: Peers, vmi: Vmi, *services: types.ServiceSessions) -> Peer:
    """Connect an agent of this release, with one viewer, and wait until its report is published."""
    peer = peers.new(vmi.socket).connect(pb.Hello(instance="run", features=FEATURES))
    return report(peer, *services)


def report(peer: Peer, *services: types.ServiceSessions) -> Peer:
    peer.snapshot(1, others=services)
    peer.wait_published()
    return peer


def status(vmi: Vmi) -> Any:
    found = vmi.companion()
    assert found is not None
    return found["status"]


def numbers(vmi: Vmi) -> dict[str, int]:
    return {key: value for key, value in status(vmi).items() if isinstance(value, int)}


def conditions(vmi: Vmi) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in status(vmi)["conditions"]}


def message(vmi: Vmi, type_: str) -> str:
    (found,) = (one["message"] for one in status(vmi)["conditions"] if one["type"] == type_)
    return str(found)


# --- where services are polled ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("handler")
def test_each_service_has_a_number_and_a_condition(vmi: Vmi, peers: Peers) -> None:
    """At zero the number is absent, and the condition says whether that is known."""
    peer = connected(peers, vmi, service(USB, 2), service(CONSOLE, 0), service(SPICE, 1))
    asked = {one.service: one.interval.seconds for one in peer.welcome.polling}
    assert asked == {USB: 5, CONSOLE: 2}
    assert numbers(vmi) == {"vncSessions": 1, "usbRedirections": 2, "spiceSessions": 1}
    assert conditions(vmi) == {
        "Observed": ("True", "Watching"),
        "Idle": ("False", "ViewersConnected"),
        "UsbRedirectionsObserved": ("True", "Watching"),
        "ConsoleSessionsObserved": ("True", "Watching"),
        "SpiceSessionsObserved": ("True", "Watching"),
    }
    assert message(vmi, "UsbRedirectionsObserved") == (
        "The agent asks QEMU every 5 s; a shorter session may be missing."
    )
    report(peer, service(USB, 0), service(CONSOLE, 0, FAILED), service(SPICE, 0, FAILED))
    assert numbers(vmi) == {"vncSessions": 1, "spiceSessions": 1}
    assert conditions(vmi)["UsbRedirectionsObserved"] == ("True", "Watching")
    assert conditions(vmi)["ConsoleSessionsObserved"] == ("False", "QueryFailed")
    assert conditions(vmi)["SpiceSessionsObserved"] == ("False", "QueryFailed")
    assert conditions(vmi)["Observed"] == ("True", "Watching")


@pytest.mark.usefixtures("handler")
def test_an_agent_of_the_first_release_is_not_asked_and_claims_nothing(vmi: Vmi, peers: Peers) -> None:
    """It knows VNC alone: neither a zero nor a number is published for it, and the reason is named."""
    peer = peers.connect(vmi.socket, sessions=1)
    peer.wait_published()
    assert not peer.welcome.polling
    assert numbers(vmi) == {"vncSessions": 1}
    for type_ in ("UsbRedirectionsObserved", "ConsoleSessionsObserved", "SpiceSessionsObserved"):
        assert conditions(vmi)[type_] == NOT_WATCHED
    assert message(vmi, "UsbRedirectionsObserved").endswith(
        "(the VM's agent is of an older version, which cannot report it)"
    )


@pytest.mark.usefixtures("handler")
def test_an_agent_that_dies_leaves_numbers_that_are_not_observed(vmi: Vmi, peers: Peers) -> None:
    """After its lease, as for VNC."""
    connected(peers, vmi, service(USB, 1), service(CONSOLE, 0)).close()
    wait_until(
        lambda: conditions(vmi)["UsbRedirectionsObserved"],
        ("False", "AgentSilent").__eq__,
        what="the lease has expired",
    )
    assert numbers(vmi) == {"vncSessions": 1, "usbRedirections": 1}
    assert conditions(vmi)["ConsoleSessionsObserved"] == ("False", "AgentSilent")
    assert conditions(vmi)["SpiceSessionsObserved"] == NOT_WATCHED


def test_kubectl_prints_them_with_wide(control_plane: ControlPlane, handler: Handler, vmi: Vmi, peers: Peers) -> None:
    """The number, and whether it is known; selectors find the VMs that have any."""
    connected(peers, vmi, service(USB, 2), service(CONSOLE, 0), service(SPICE, 0, FAILED))
    get = ("get", "vmiss", "-n", vmi.namespace)
    header, row = control_plane.kubectl(*get, "-o", "wide").splitlines()
    cells = {name: row[header.index(name) :].split("  ")[0] for name in header.split()}
    shown = {name: cells[name] for name in cells if name.startswith(("USB", "CONSOLE", "SPICE"))}
    assert shown == {
        "USB": "2",
        "USB-OBSERVED": "True",
        "CONSOLE": "",
        "CONSOLE-OBSERVED": "True",
        "SPICE": "",
        "SPICE-OBSERVED": "False",
    }
    for selector, found in (("usbRedirections!=", ["vm"]), ("consoleSessions!=", []), ("spiceSessions=", ["vm"])):
        line = control_plane.kubectl(*get, f"--field-selector=status.{selector}", "--output=name")
        assert [name.rpartition("/")[2] for name in line.split()] == found


def test_metrics_and_the_debug_api_show_each_watched_service(handler: Handler, vmi: Vmi, peers: Peers) -> None:
    """By the words of --poll. A service that is not known is no zero."""
    connected(peers, vmi, service(USB, 2), service(CONSOLE, 0, FAILED))
    labels = f'name="vm",namespace="{vmi.namespace}",node="polling-node"'
    lines = [line for line in handler.metrics().splitlines() if f'namespace="{vmi.namespace}"' in line]
    found = {line.split("{")[0]: 0 for line in lines}
    assert "kubevirt_vmi_service_sessions" in found
    values = {
        (line.split("{")[0], label.split('"')[1]): float(line.rpartition(" ")[2])
        for line in lines
        for label in line.partition("{")[2].partition("}")[0].split(",")
        if label.startswith("service=")
    }
    assert values["kubevirt_vmi_service_sessions", "usb-redirection"] == 2
    assert values["kubevirt_vmi_service_observed", "serial-console"] == 0
    assert ("kubevirt_vmi_service_sessions", "serial-console") not in values
    assert ("kubevirt_vmi_service_observed", "spice") not in values
    assert all(label in lines[0] for label in labels.split(","))

    services = {one["service"]: one for one in handler.status(vmi.namespace, vmi.name)["services"]}
    assert list(services) == ["SERVICE_VNC", "SERVICE_USB_REDIRECTION", "SERVICE_SERIAL_CONSOLE"]
    assert (services["SERVICE_USB_REDIRECTION"]["sessions"], services["SERVICE_USB_REDIRECTION"]["observed"]) == (
        2,
        True,
    )
    assert services["SERVICE_SERIAL_CONSOLE"]["message"] == "QueryFailed"
    published = handler.publication(vmi.namespace, vmi.name, "companion")["observed"]
    assert {"service": "SERVICE_USB_REDIRECTION", "sessions": 2} in published


# --- in the VMI -------------------------------------------------------------------------------------------------------

FIELD = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/serviceStatus/properties/usbRedirections"


@pytest.fixture
def schema_of_usb(control_plane: ControlPlane, client: Client) -> Iterator[Callable[[], None]]:
    """Adds `usbRedirections`, and no other service, to the schema of VMIs when it is called."""

    def patch(operation: dict[str, Any], *, kept: bool) -> None:
        crd = ("crd", "virtualmachineinstances.kubevirt.io", "--type=json", f"--patch={json.dumps([operation])}")
        control_plane.kubectl("patch", *crd)
        probe = virtual_machine_instance("probe", "default", status={"serviceStatus": {"usbRedirections": 1}})
        path = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances?dryRun=All"
        wait_until(
            lambda: (client.post(path, probe).get("status", {}).get("serviceStatus") or {}).get("usbRedirections") == 1,
            lambda found: found is kept,
            what=f"the API server keeps the field: {kept}",
        )

    yield lambda: patch({"op": "add", "path": FIELD, "value": {"type": "integer"}}, kept=True)
    patch({"op": "remove", "path": FIELD}, kept=False)


@pytest.mark.usefixtures("handler")
def test_the_vmi_shows_the_services_that_its_schema_has_a_field_for(
    vmi: Vmi, peers: Peers, schema_of_usb: Callable[[], None]
) -> None:
    """From the moment on at which the schema has it; at zero the field is absent."""
    peer = connected(peers, vmi, service(USB, 2), service(CONSOLE, 1))
    assert vmi.service_status() == {"vncSessions": 1}
    schema_of_usb()
    expected = {"vncSessions": 1, "usbRedirections": 2}
    wait_until(vmi.service_status, lambda found: found == expected, what=f"the VMI shows {expected}")
    report(peer, service(USB, 0), service(CONSOLE, 1))
    assert vmi.service_status() == {"vncSessions": 1}
    report(peer, service(USB, 1), service(CONSOLE, 1))
    assert vmi.service_status() == {"vncSessions": 1, "usbRedirections": 1}


# --- where they are not -----------------------------------------------------------------------------------------------


def test_what_is_not_watched_costs_no_write_after_an_upgrade(
    client: Client, new_node: Any, namespace: str, peers: Peers
) -> None:
    """An object of the first release has two conditions, and is up to date as it is."""
    node: Node = new_node()
    vmi = node.run(Vmi(client, namespace))
    with node.handler() as handler:
        peer = peers.connect(vmi.socket, sessions=1)
        peer.wait_published()
        vmi.wait_told(seen(1))
        handler.stop()
    former = vmi.companion()
    assert former is not None
    patch = {"status": {"conditions": former["status"]["conditions"][:2]}}
    as_before = client.patch(f"{vmi.companion_path}/status", patch)
    with node.handler() as handler:
        peer.connect().snapshot(1)  # the same run of the agent, so that it knows since when
        peer.wait_published()
        assert not peer.welcome.polling
        after = vmi.companion()
        assert after is not None
        assert after["metadata"]["resourceVersion"] == as_before["metadata"]["resourceVersion"]
        assert [one["type"] for one in after["status"]["conditions"]] == ["Observed", "Idle"]
        peer.report(2)
        peer.wait_published()
        wait_until(
            lambda: conditions(vmi).get("UsbRedirectionsObserved"),
            NOT_WATCHED.__eq__,
            what="the next write says that nothing is watched",
        )
        assert handler.running


def test_polling_that_is_turned_off_takes_the_claim_and_leaves_the_number(
    client: Client, new_node: Any, namespace: str, peers: Peers
) -> None:
    """By another handler of the node, as after a rollout. A number that is not watched is the last one known."""
    node: Node = new_node()
    vmi = node.run(Vmi(client, namespace))
    with node.handler("--poll=usb-redirection=5s", "--poll=serial-console=5s"):
        connected(peers, vmi, service(USB, 2), service(CONSOLE, 0)).close()
    assert conditions(vmi)["ConsoleSessionsObserved"] == ("True", "Watching")
    not_watched = types.Observation(observed=False, reason=types.OBSERVATION_REASON_NOT_WATCHED)
    with node.handler():
        peer = connected(peers, vmi, service(USB, 0, not_watched), service(CONSOLE, 0, not_watched))
        assert not peer.welcome.polling
        assert numbers(vmi) == {"vncSessions": 1, "usbRedirections": 2}
        assert conditions(vmi)["UsbRedirectionsObserved"] == NOT_WATCHED
        assert conditions(vmi)["ConsoleSessionsObserved"] == NOT_WATCHED
