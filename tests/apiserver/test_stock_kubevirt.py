"""On a stock KubeVirt, whose VMI drops the field, the companion shows the number; the log says why the VMI does not."""

from collections.abc import Callable

import pytest

from servicestatus.v1 import session_report_service_pb2 as pb
from tests.apiserver.client import Client
from tests.apiserver.gateway import Gateway, is_vmi_patch
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peers
from tests.apiserver.vmis import Vmi, seen
from tests.cluster.control_plane import ControlPlane
from tests.cluster.vmi import STOCK, WITH_SERVICE_STATUS, use_schema

pytestmark = pytest.mark.usefixtures("stock_schema")


@pytest.fixture
def node(shared_node: Node) -> Node:
    return shared_node


@pytest.fixture
def handler(shared_handler: Handler) -> Handler:
    return shared_handler


def test_the_companion_has_the_number_and_the_agent_hears_that_it_is_published(
    vmi: Vmi, handler: Handler, peers: Peers
) -> None:
    """A publisher whose field is pruned does not delay the other one's ack."""
    peer = peers.connect(vmi.socket, sessions=1)
    peer.wait_published()
    assert vmi.told() == seen(1)
    assert vmi.service_status() is None
    peer.report(0)
    peer.wait_published()
    assert vmi.told() == seen(0)


def test_pruning_is_told_once_and_by_grpcurl(
    client: Client, namespace: str, new_node: Callable[[], Node], peers: Peers
) -> None:
    """One line in the log of a handler, however often a number changes."""
    own = new_node()
    vmi = own.run(Vmi(client, namespace))
    why = "the VMI's schema has no status.serviceStatus.vncSessions"
    said = "vmi-status: pruned: "
    with own.handler() as handler:
        peer = peers.connect(vmi.socket)
        for sessions in (1, 2, 3):
            peer.report(sessions)
            peer.wait_published()
        assert [line.partition(said)[2] for line in handler.lines(said)] == [f"{why}; this publisher shows no values"]
        published = handler.publication(vmi.namespace, vmi.name, "vmi-status")
    assert (published["state"], published["outcome"], published["message"]) == ("PUBLISH_STATE_PRUNED", "pruned", why)


def test_a_vmi_that_would_drop_the_field_is_not_written(
    control_plane: ControlPlane, client: Client, namespace: str, new_node: Callable[[], Node], peers: Peers
) -> None:
    """Each write of a VMI wakes KubeVirt's controllers: no useless one is sent."""
    own = new_node()
    vmi = own.run(Vmi(client, namespace))
    with Gateway(control_plane.url, control_plane.ca) as gateway, own.handler(server=gateway.url) as handler:
        handler.wait_for_log("the VMI's schema drops status.serviceStatus")
        peer = peers.connect(vmi.socket, sessions=1)
        vmi.wait_told(seen(1))
        peer.report(0)
        vmi.wait_told(seen(0))
        assert [request for request in gateway.requests if is_vmi_patch(request)] == []


def test_a_publisher_that_is_asked_for_by_name_says_that_it_is_pruned(
    client: Client, namespace: str, new_node: Callable[[], Node], peers: Peers
) -> None:
    """With `--publisher vmi-status` there is no other place, so the agent receives it too. No companion is created."""
    own = new_node()
    vmi = own.run(Vmi(client, namespace))
    with own.handler(publisher="vmi-status"):
        peer = peers.connect(vmi.socket, sessions=1)
        assert "schema" in peer.wait_state(pb.PUBLISH_STATE_PRUNED)
        assert vmi.companion() is None


def test_the_schema_may_change_while_the_handler_runs(
    control_plane: ControlPlane, vmi: Vmi, handler: Handler, peers: Peers
) -> None:
    """KubeVirt is upgraded under it, and back: the VMI shows what its schema permits, the companion everything."""
    peer = peers.connect(vmi.socket, sessions=1)
    peer.wait_published()
    use_schema(control_plane, WITH_SERVICE_STATUS)
    vmi.wait_for(1)
    peer.report(2)
    vmi.wait_for(2)
    vmi.wait_told(seen(2))
    use_schema(control_plane, STOCK)
    peer.report(1)
    vmi.wait_told(seen(1))
    use_schema(control_plane, WITH_SERVICE_STATUS)
    vmi.wait_for(1)
    assert vmi.told() == seen(1)
    # For a moment the watch still shows VMIs by the former schema, without the field: the handler ignores that.
    peer.report(0)
    vmi.wait_for(0)


def test_a_schema_that_changes_as_the_last_viewer_leaves_leaves_no_number_behind(
    control_plane: ControlPlane, vmi: Vmi, handler: Handler, peers: Peers
) -> None:
    """KubeVirt writes the VMI at that moment, and the watch shows it by the former schema, without the number."""
    peer = peers.connect(vmi.socket, sessions=1)
    peer.wait_published()
    use_schema(control_plane, WITH_SERVICE_STATUS)
    vmi.wait_for(1)
    peer.report(0)
    # A fall is delayed by a second, during which the watch shows this.
    for number in range(20):
        vmi.patch(labels={"touched": str(number)})
    vmi.wait_told(seen(0))
    vmi.wait_for(0)
