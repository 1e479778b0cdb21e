"""How a handler watches VMIs, and with which token, if a proxy in front of the API server answers in its own way."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.gateway import Gateway, Reply, Request, is_vmi_patch, is_vmi_watch
from tests.apiserver.nodes import Node
from tests.apiserver.peers import Peers
from tests.apiserver.vmis import Vmi
from tests.cluster.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("service_status_schema")

ALWAYS = 1 << 30


@pytest.fixture
def gateway(control_plane: ControlPlane) -> Iterator[Gateway]:
    with Gateway(control_plane.url, control_plane.ca) as before:
        yield before


def test_a_watch_that_is_too_old_is_begun_anew(
    client: Client, namespace: str, node: Node, vmi: Vmi, gateway: Gateway, peers: Peers
) -> None:
    """410: the server no longer has that resource version. The new list contains what was missed."""
    rule = gateway.answer(is_vmi_watch, Reply.error(410, "too old resource version"), times=2)
    with node.handler(server=gateway.url):
        rule.wait_used(2)
        peers.connect(vmi.socket, sessions=1).wait_published()
        other = node.run(Vmi(client, namespace, "other"))
        peers.connect(other.socket, sessions=1).wait_published()


@pytest.mark.parametrize(
    "reply",
    [Reply.error(410), Reply(200), Reply.error(403)],
    ids=["410", "an end at once", "403"],
)
def test_a_watch_that_never_works_is_not_tried_in_a_hot_loop(node: Node, gateway: Gateway, reply: Reply) -> None:
    """All handlers of a cluster would retry at once. The waits grow to 30 s, with full jitter."""
    rule = gateway.answer(is_vmi_watch, reply, times=ALWAYS)
    with node.handler(server=gateway.url) as handler:
        rule.wait_used(2)
        time.sleep(2)
        # Two watches, at 0, 0.25, 0.75, 1.75 s on average. Without a wait there would be hundreds a second.
        assert rule.used <= 30
        assert len(handler.lines("virtualmachineinstances cannot be followed")) <= rule.used


def test_a_list_that_fails_at_first_makes_it_late_and_not_ready(
    node: Node, vmi: Vmi, gateway: Gateway, peers: Peers
) -> None:
    """Nothing is published before the VMIs of this node are known."""
    vmi.patch(serviceStatus={"vncSessions": 4})

    def is_list(request: Request) -> bool:
        return request.path.endswith("/virtualmachineinstances") and not request.is_watch

    rule = gateway.answer(is_list, Reply.error(503), times=4)
    with node.handler(server=gateway.url) as handler:
        rule.wait_used()
        assert handler.probe("/readyz") == 503
        peers.connect(vmi.socket, sessions=4).wait_published()
        wait_until(lambda: handler.probe("/readyz"), (200).__eq__, what="it is ready")
        assert [request for request in gateway.requests if is_vmi_patch(request)] == []


def test_a_token_that_is_rotated_is_read_again(node: Node, vmi: Vmi, gateway: Gateway, peers: Peers) -> None:
    """The old token is rejected with 401; the handler reads the new one from the file and repeats the request."""
    with node.handler(server=gateway.url) as handler:
        peer = peers.connect(vmi.socket, sessions=1)
        peer.wait_published()
        old = node.token_file.read_text()
        node.renew_token()
        assert node.token_file.read_text() != old
        gateway.answer(lambda request: request.token == old, Reply.error(401, "Unauthorized"), times=ALWAYS)
        peer.report(2)
        peer.wait_published()
        assert vmi.service_status() == {"vncSessions": 2}
        assert handler.lines("WARNING") == []


def test_a_token_that_is_not_valid_is_told_and_tried_again(
    node: Node, vmi: Vmi, gateway: Gateway, peers: Peers
) -> None:
    """The API server answers 401 until the file holds a valid token; the program need not be restarted."""
    node.spoil_token()
    with node.handler(server=gateway.url) as handler:
        handler.wait_for_log("virtualmachineinstances cannot be followed: 401: Unauthorized")
        node.renew_token()
        peers.connect(vmi.socket, sessions=1).wait_published()


def test_a_vmi_that_nobody_can_parse_is_passed_over(vmi: Vmi, gateway: Gateway, peers: Peers, node: Node) -> None:
    """Malformed objects in the list and in the watch do not affect other VMIs."""

    def odd(answer: Any) -> Any:
        answer["items"] += [{}, {"metadata": {"name": 7}}, {"metadata": {"namespace": "a", "name": "b", "uid": "c"}}, 7]
        return answer

    gateway.change_answer(lambda r: r.path.endswith("/virtualmachineinstances") and not r.is_watch, odd, times=2)
    with node.handler(server=gateway.url):
        peers.connect(vmi.socket, sessions=1).wait_published()
        wait_until(lambda: len(gateway.requests) > 4, what="the handler sends requests")
