"""The handler, the API server and etcd end in every way and restart: a value may be late, and is never a wrong 0.

"Never" is checked with a watch, which sees each version that the API server has stored.
"""

import http.client
import time
from collections.abc import Iterator

import pytest

from servicestatus.v1 import session_report_service_pb2 as pb
from testbed.waiting import wait_until
from tests.apiserver.client import ApiError, Client
from tests.apiserver.gateway import Gateway, is_companion_write, is_vmi_patch
from tests.apiserver.identities import BASE, install
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peers
from tests.apiserver.vmis import Vmi, seen, service_status, told, unknown
from tests.cluster.control_plane import ControlPlane
from tests.cluster.vmi import WITH_SERVICE_STATUS

#: Seconds that the handler has after SIGTERM: `terminationGracePeriodSeconds` in manifests/base/daemonset.yaml.
GRACE = 15.0
AWAY = (OSError, http.client.HTTPException, ApiError)


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Of this module's own: the tests kill it."""
    with ControlPlane(tmp_path_factory.mktemp("frail"), resources=[WITH_SERVICE_STATUS, BASE]) as plane:
        install(plane)
        yield plane


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> None:
    """Done by the fixture above."""


# --- the handler ------------------------------------------------------------------------------------------------------


def test_sigterm_keeps_what_is_published(vmi: Vmi, handler: Handler, peers: Peers) -> None:
    """The agents receive DrainNotice, and the program exits within the time that a pod has."""
    peer = peers.connect(vmi.socket, sessions=2)
    peer.wait_published()
    with vmi.record() as versions, vmi.record_companion() as companions:
        assert handler.stop(GRACE) == 0
        assert peer.drained
        assert peer.wait_ended() == ("UNAVAILABLE", "the handler stops")
    assert versions.values(service_status) == [{"vncSessions": 2}]
    assert companions.values(told) == [seen(2)]


def test_a_write_that_is_under_way_ends_before_the_handler_does(
    control_plane: ControlPlane, node: Node, vmi: Vmi, peers: Peers
) -> None:
    """SIGTERM while the API server delays its response."""
    with Gateway(control_plane.url, control_plane.ca) as gateway, node.handler(server=gateway.url) as handler:
        peer = peers.connect(vmi.socket)
        peer.wait_published()
        rule = gateway.delay(is_vmi_patch, seconds=1.5)
        peer.report(1)
        rule.wait_used()
        assert handler.stop() == 0
        assert vmi.service_status() == {"vncSessions": 1}


def test_a_restart_publishes_nothing_before_an_agent_has_spoken(vmi: Vmi, handler: Handler, peers: Peers) -> None:
    """It waits for the agent, up to the lease of 15 s; then it publishes the agent's value in one step."""
    peer = peers.connect(vmi.socket, sessions=2)
    peer.wait_published()
    with vmi.record() as versions, vmi.record_companion() as companions:
        handler.restart()
        peer.connect()
        time.sleep(1)
        peer.snapshot(3)
        peer.wait_published()
    assert versions.values(service_status) == [{"vncSessions": 2}, {"vncSessions": 3}]
    assert companions.values(told) == [seen(2), seen(3)]


def test_after_a_restart_an_agent_that_is_gone_is_unknown_and_never_zero(node: Node, vmi: Vmi, peers: Peers) -> None:
    """The lease has to expire first; the last known number stays."""
    handler = node.handler("--lease=2s", "--heartbeat-interval=500ms")
    with handler:
        peer = peers.connect(vmi.socket, sessions=2)
        peer.wait_published()
        with vmi.record() as versions, vmi.record_companion() as companions:
            handler.kill()
            peer.close()
            handler.start()
            vmi.wait_told(unknown(2, "NoAgent"))
        assert versions.values(service_status) == [{"vncSessions": 2}]
        assert companions.values(told) == [seen(2), unknown(2, "NoAgent")]


@pytest.mark.parametrize("done", [False, True], ids=["before it is done", "before it is answered"])
def test_a_handler_that_is_killed_in_the_middle_of_a_write(
    control_plane: ControlPlane, node: Node, vmi: Vmi, peers: Peers, done: bool
) -> None:
    """The next handler finds what the API server holds, and changes it to what the agent reports."""
    with Gateway(control_plane.url, control_plane.ca) as gateway, node.handler(server=gateway.url) as handler:
        peer = peers.connect(vmi.socket, sessions=1)
        peer.wait_published()
        with vmi.record() as versions, vmi.record_companion() as companions:
            hold = gateway.keep_answer if done else gateway.delay
            rules = [hold(matches, 3.0) for matches in (is_vmi_patch, is_companion_write)]
            peer.report(3)
            for rule in rules:
                rule.wait_used()
            handler.kill()
            handler.start()
            peer.connect()
            peer.snapshot(2)
            peer.wait_published()
            vmi.wait_for(2)
            vmi.wait_told(seen(2))
    assert None not in versions.values(service_status)
    assert [version for version in companions.values(told) if version[1] != "False"] == []


def test_killed_again_and_again_it_never_shows_a_wrong_zero(vmi: Vmi, handler: Handler, peers: Peers) -> None:
    """Five SIGKILLs, each at another moment of a change, with at least one viewer all the time."""
    peer = peers.connect(vmi.socket, sessions=1)
    peer.wait_published()
    with vmi.record() as versions, vmi.record_companion() as companions:
        for number in range(5):
            peer.report(2 + number)
            time.sleep(0.28 + 0.02 * number)  # a rise is written after 300 ms
            handler.restart()
            peer.connect()
            peer.snapshot(2 + number)
        peer.wait_published()
        vmi.wait_for(6)
    assert None not in versions.values(service_status)
    assert {version[1] for version in companions.values(told)} == {"False"}


# --- the API server ---------------------------------------------------------------------------------------------------


def test_what_changed_while_the_api_server_was_away_is_published_when_it_is_back(
    control_plane: ControlPlane, vmi: Vmi, handler: Handler, peers: Peers
) -> None:
    """The agent stays connected and receives that its number is not published; each failure is logged once."""
    peer = peers.connect(vmi.socket, sessions=1)
    peer.wait_published()
    control_plane.apiserver.kill()
    try:
        peer.report(2)
        assert "no answer" in peer.wait_state(pb.PUBLISH_STATE_FAILING)
        peer.report(3)
        time.sleep(2)
    finally:
        control_plane.apiserver.start()
    peer.wait_published()
    vmi.wait_for(3)
    vmi.wait_told(seen(3))
    # One for each watch. An API server that is starting may reject them once more, with another message.
    assert len(handler.lines("virtualmachineinstances cannot be followed: no answer")) == 2
    said = "WARNING handler_service.publishing.worker: vmi-status: error: "
    warnings = [line for line in handler.lines(said) if line.endswith(f" vmi={vmi.namespace}/vm")]
    troubles = [line.partition(said)[2] for line in warnings]
    assert 1 <= len(troubles) == len(set(troubles)), troubles
    wait_until(lambda: len(handler.lines("virtualmachineinstances is followed again")) >= 2, what="both are back")


def test_a_vmi_that_was_deleted_while_the_api_server_was_away_is_let_go(
    control_plane: ControlPlane, client: Client, vmi: Vmi, handler: Handler, peers: Peers
) -> None:
    """A watch cannot show it; the list does."""
    peer = peers.connect(vmi.socket, sessions=1)
    peer.wait_published()
    with handler.frozen():
        vmi.delete()
        control_plane.apiserver.restart()
    assert peer.wait_ended()[0] == "UNAVAILABLE"
    assert client.find(vmi.path) is None


def test_a_killed_etcd_is_survived(control_plane: ControlPlane, vmi: Vmi, handler: Handler, peers: Peers) -> None:
    """Until then the API server answers with errors, or not at all."""
    peer = peers.connect(vmi.socket, sessions=1)
    peer.wait_published()
    control_plane.etcd.kill()
    try:
        peer.report(2)
        time.sleep(2)
    finally:
        control_plane.etcd.start()
    peer.wait_published(timeout=60)
    wait_until(vmi.service_status, {"vncSessions": 2}.__eq__, what="it is there", timeout=60, retry_on=AWAY)


def test_a_handler_that_starts_before_the_api_server_waits_for_it(
    control_plane: ControlPlane, node: Node, vmi: Vmi, peers: Peers
) -> None:
    """It is alive and not ready, and logs why, once for each kind that it watches."""
    control_plane.apiserver.kill()
    with node.handler() as handler:
        try:
            handler.wait_for_log("cannot be followed: no answer")
            assert handler.probe("/healthz") == 200
            assert handler.probe("/readyz") == 503
        finally:
            control_plane.apiserver.start()
        peers.connect(vmi.socket, sessions=1, timeout=60).wait_published()
        wait_until(lambda: handler.probe("/readyz"), (200).__eq__, what="it is ready")
        assert len(handler.lines("virtualmachineinstances cannot be followed: no answer")) == 2


# --- garbage ----------------------------------------------------------------------------------------------------------


def test_a_former_vmis_companion_is_replaced_without_waiting_for_the_garbage_collector(
    control_plane: ControlPlane, client: Client, node: Node, vmi: Vmi, peers: Peers
) -> None:
    """Even if it has the label of another node, on which the former VMI ran."""
    with node.handler() as handler:
        peers.connect(vmi.socket, sessions=5).wait_published()
        handler.stop()
    control_plane.controller_manager.kill()
    try:
        vmi.delete()
        client.patch(vmi.companion_path, {"metadata": {"labels": {"servicestatus.kubevirt.io/nodeName": "elsewhere"}}})
        node.run(vmi)
        with handler:
            peers.connect(vmi.socket, sessions=1).wait_published()
        companion = vmi.companion()
        assert companion is not None
        assert companion["spec"] == {"vmiUID": vmi.uid}
        assert vmi.told() == seen(1)
    finally:
        control_plane.controller_manager.start()
