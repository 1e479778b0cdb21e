"""What `kubectl describe` shows of a VMI's sessions, on a stock KubeVirt."""

import re
from collections.abc import Callable, Iterator

import pytest

from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peers
from tests.apiserver.vmis import Vmi, seen
from tests.cluster.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("stock_schema")
VMIS = "virtualmachineinstances.kubevirt.io"


@pytest.fixture
def node(shared_node: Node) -> Node:
    return shared_node


@pytest.fixture
def handler(shared_handler: Handler) -> Handler:
    return shared_handler


@pytest.fixture
def described(control_plane: ControlPlane) -> Callable[[Vmi], list[list[str]]]:
    """Type, reason, origin and message: the columns of `kubectl describe` that do not change with time."""

    def describe(vmi: Vmi) -> list[list[str]]:
        text = control_plane.kubectl("describe", VMIS, vmi.name, f"--namespace={vmi.namespace}")
        lines = text.partition("\nEvents:")[2].splitlines()
        rows = [re.split(r"\s{2,}", line.strip()) for line in lines[3:]]
        return [[row[0], row[1], *row[3:]] for row in rows]

    return describe


STARTED = ["Normal", "VNCSessionStarted", "servicestatus.kubevirt.io/handler"]
ENDED = ["Normal", "VNCSessionsEnded", "servicestatus.kubevirt.io/handler"]


def test_describe_shows_that_somebody_has_connected(
    vmi: Vmi, handler: Handler, peers: Peers, described: Callable[[Vmi], list[list[str]]]
) -> None:
    """One event, however many viewers follow; `kubectl describe vmi` shows the handler's message."""
    peer = peers.connect(vmi.socket)
    vmi.wait_told(seen(0))
    peer.report(1)
    line = [*STARTED, "Somebody has connected to the VM over VNC."]
    wait_until(lambda: described(vmi), lambda rows: rows == [line], what=f"{line} is described", interval=0.2)
    peer.report(2)
    vmi.wait_told(seen(2))
    assert described(vmi) == [line]


def test_describe_shows_that_everybody_has_left(
    vmi: Vmi, handler: Handler, peers: Peers, described: Callable[[Vmi], list[list[str]]]
) -> None:
    """A second afterwards."""
    peer = peers.connect(vmi.socket, sessions=1)
    vmi.wait_told(seen(1))
    peer.report(0)
    line = [*ENDED, "Nobody is connected to the VM over VNC any more."]
    wait_until(lambda: described(vmi), lambda rows: rows == [line], what=f"{line} is described", interval=0.2)


@pytest.fixture
def silent(new_node: Callable[[], Node]) -> Iterator[Node]:
    """A node whose handler posts no events."""
    node = new_node()
    with node.handler("--no-events"):
        yield node


def test_a_flag_turns_events_off(
    client: Client,
    namespace: str,
    silent: Node,
    peers: Peers,
    described: Callable[[Vmi], list[list[str]]],
) -> None:
    """The number is still published."""
    vmi = silent.run(Vmi(client, namespace))
    peer = peers.connect(vmi.socket)
    vmi.wait_told(seen(0))
    peer.report(1)
    vmi.wait_told(seen(1))
    peer.report(0)
    vmi.wait_told(seen(0))
    assert described(vmi) == []
