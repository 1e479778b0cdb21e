"""The network between a handler and the API server fails in every usual way; the proxy between them forwards bytes."""

from collections.abc import Iterator

import pytest

from servicestatus.v1 import session_report_service_pb2 as pb
from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peers
from tests.apiserver.proxy import Proxy
from tests.apiserver.vmis import Vmi, seen, service_status
from tests.cluster.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("service_status_schema")


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[Proxy]:
    with Proxy(control_plane.url) as between:
        yield between


@pytest.fixture
def handler(node: Node, proxy: Proxy) -> Iterator[Handler]:
    """Behind the proxy, with short timeouts."""
    with node.handler("--watch-timeout=3s", "--api-timeout=3s", server=proxy.url) as running:
        yield running


def test_cut_connections_are_made_again(
    client: Client, namespace: str, node: Node, vmi: Vmi, proxy: Proxy, handler: Handler, peers: Peers
) -> None:
    """Watches included: a VMI that is created after the cut is served, and no agent notices."""
    peer = peers.connect(vmi.socket, sessions=1)
    peer.wait_published()
    with vmi.record() as versions:
        for sessions in (2, 3):
            proxy.cut()
            peer.report(sessions)
            peer.wait_published()
        other = node.run(Vmi(client, namespace, "other"))
        peers.connect(other.socket, sessions=1).wait_published()
    assert versions.values(service_status) == [{"vncSessions": 1}, {"vncSessions": 2}, {"vncSessions": 3}]
    assert peer.ended is None


def test_an_unreachable_api_server_is_told_once_and_tried_again(
    vmi: Vmi, proxy: Proxy, handler: Handler, peers: Peers
) -> None:
    """Once in the log, to the agent with its ack, by grpcurl with its failures; then the newest number is written."""
    peer = peers.connect(vmi.socket, sessions=1)
    peer.wait_published()
    proxy.break_off()
    for sessions in (2, 3, 4):
        peer.report(sessions)
    assert "no answer" in peer.wait_state(pb.PUBLISH_STATE_FAILING)
    wait_until(lambda: handler.publication(vmi.namespace, "vm", "vmi-status").get("failures"), what="it was tried")
    with vmi.record() as versions:
        proxy.restore()
        peer.wait_published()
    assert versions.values(service_status) == [{"vncSessions": 1}, {"vncSessions": 4}]
    about = f" vmi={vmi.namespace}/vm"
    assert len([line for line in handler.lines("vmi-status: error: no answer") if line.endswith(about)]) == 1
    assert len(handler.lines(f"vmi-status: published again{about}")) == 1


def test_a_watch_that_hangs_silently_is_given_up(
    client: Client, namespace: str, node: Node, vmi: Vmi, proxy: Proxy, handler: Handler, peers: Peers
) -> None:
    """TCP does not report it. A watch is renewed after `--watch-timeout`, and aborted five seconds later."""
    peer = peers.connect(vmi.socket, sessions=1)
    peer.wait_published()
    proxy.hang()
    other = node.run(Vmi(client, namespace, "other"))
    peers.new(other.socket).connect().snapshot(1)
    other.wait_for(1)
    peer.report(2)
    vmi.wait_for(2)
    assert peer.ended is None


def test_a_write_on_a_hung_connection_is_tried_on_another_one(
    vmi: Vmi, proxy: Proxy, handler: Handler, peers: Peers
) -> None:
    """After `--api-timeout`."""
    peer = peers.connect(vmi.socket, sessions=1)
    peer.wait_published()
    proxy.hang()
    peer.report(3)
    vmi.wait_for(3)
    vmi.wait_told(seen(3))
