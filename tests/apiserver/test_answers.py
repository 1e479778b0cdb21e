"""The API server, or what stands before it, answers in every way that it can; each is a state that people can read."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from servicestatus.v1 import session_report_service_pb2 as pb
from tests.apiserver.client import Client
from tests.apiserver.gateway import (
    Gateway,
    Reply,
    Request,
    is_companion_write,
    is_vmi_patch,
    is_vmi_watch,
)
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peers
from tests.apiserver.vmis import Vmi, seen, service_status
from tests.cluster.control_plane import ControlPlane
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("service_status_schema")

ALWAYS = 1 << 30


@pytest.fixture
def gateway(control_plane: ControlPlane) -> Iterator[Gateway]:
    with Gateway(control_plane.url, control_plane.ca) as before:
        yield before


@pytest.fixture
def handler(node: Node, gateway: Gateway) -> Iterator[Handler]:
    with node.handler("--api-timeout=1s", server=gateway.url) as running:
        yield running


Places = pytest.mark.parametrize(
    ("place", "matches"), [("vmi-status", is_vmi_patch), ("companion", is_companion_write)], ids=["vmi", "companion"]
)


@Places
@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply.error(409), "conflict"),
        (Reply.error(429, Retry_After="1"), "error"),
        (Reply.error(500), "error"),
        (Reply.error(503), "error"),
        (Reply(504, b"<html>gateway timeout</html>"), "error"),
        (Reply(200, b"not JSON at all"), "error"),
        (Reply(200, b"[]"), "error"),
        (Reply(200, b"{}"), "conflict or error"),
    ],
    ids=["409", "429", "500", "503", "504 and HTML", "200 and nonsense", "200 and a list", "200 and nothing"],
)
def test_a_failed_write_is_tried_again(
    vmi: Vmi, gateway: Gateway, handler: Handler, peers: Peers, place: str, matches: Any, reply: Reply, outcome: str
) -> None:
    """Until it works; then its end is told too."""
    peer = peers.connect(vmi.socket)
    peer.wait_published()
    rule = gateway.answer(matches, reply, times=2)
    peer.report(1)
    rule.wait_used(2)
    peer.wait_published()
    assert vmi.service_status() == {"vncSessions": 1}
    assert vmi.told() == seen(1)
    publication = handler.publication(vmi.namespace, vmi.name, place)
    assert (publication["state"], publication["failures"]) == ("PUBLISH_STATE_PUBLISHED", "2")
    (line,) = handler.lines(f"WARNING handler_service.publication: {place}: {vmi.namespace}/vm: ")
    assert any(f"/vm: {word}: " in line for word in outcome.split(" or "))
    assert len(handler.lines(f"{place}: {vmi.namespace}/vm: published again")) == 1


def test_a_server_that_asks_for_time_gets_it(vmi: Vmi, gateway: Gateway, handler: Handler, peers: Peers) -> None:
    """429 with `Retry-After: 2`: not a request about that VMI for two seconds."""
    peer = peers.connect(vmi.socket)
    peer.wait_published()
    rule = gateway.answer(is_vmi_patch, Reply.error(429, Retry_After="2"))
    peer.report(1)
    rule.wait_used()
    asked = time.monotonic()
    peer.wait_published()
    after = [request.at for request in gateway.requests if is_vmi_patch(request)]
    assert after[-1] - asked > 1.9


@Places
def test_what_is_forbidden_is_told(
    vmi: Vmi, gateway: Gateway, handler: Handler, peers: Peers, place: str, matches: Callable[[Request], bool]
) -> None:
    """To the agent, to grpcurl, and once in the log. The other place has the number."""
    peer = peers.connect(vmi.socket)
    peer.wait_published()
    rule = gateway.answer(matches, Reply.error(403, "no role allows it"), times=ALWAYS)
    peer.report(1)
    assert peer.wait_state(pb.PUBLISH_STATE_FAILING) == "403: no role allows it"
    rule.wait_used(2)
    publication = handler.publication(vmi.namespace, vmi.name, place)
    assert (publication["outcome"], publication["message"]) == ("forbidden", "403: no role allows it")
    assert len(handler.lines("forbidden: 403: no role allows it")) == 1
    if place == "companion":
        vmi.wait_for(1)
    else:
        vmi.wait_told(seen(1))
    gateway.forget(rule)
    peer.wait_published()
    vmi.wait_for(1)


@Places
@pytest.mark.parametrize("how", ["cut", "late"])
def test_an_answer_that_is_lost_after_the_commit_does_no_harm(
    vmi: Vmi, gateway: Gateway, handler: Handler, peers: Peers, how: str, place: str, matches: Any
) -> None:
    """It is read what the server holds, and nothing is written twice."""
    peer = peers.connect(vmi.socket)
    peer.wait_published()
    with vmi.record() as versions, vmi.record_companion() as companions:
        before = len(companions.events)
        rule = gateway.lose_answer(matches) if how == "cut" else gateway.keep_answer(matches, seconds=3)
        peer.report(2)
        rule.wait_used()
        peer.wait_published()
        vmi.wait_for(2)
        vmi.wait_told(seen(2))
    assert versions.values(service_status) == [None, {"vncSessions": 2}]
    assert len(companions.events) == before + 1
    writes = [request for request in gateway.requests if matches(request) and request.is_write]
    wanted = [2] if place == "vmi-status" else [None, 2]
    assert [number(request) for request in writes if request.method == "PATCH"] == wanted


def number(request: Request) -> object:
    """What a patch would publish."""
    if isinstance(request.body, list):
        return request.body[2]["value"].get("vncSessions")
    return request.body["status"]["vncSessions"]


def test_a_server_that_takes_the_patch_and_does_nothing_is_told_as_reverted(
    vmi: Vmi, gateway: Gateway, handler: Handler, peers: Peers
) -> None:
    """As KubeVirt's webhook does for whom it does not trust: HTTP 200, and the status of before."""
    peer = peers.connect(vmi.socket)
    peer.wait_published()
    rule = gateway.ignore(is_vmi_patch, times=2)
    peer.report(1)
    assert peer.wait_state(pb.PUBLISH_STATE_FAILING) == "the server took the patch and answered with 0"
    assert handler.publication(vmi.namespace, vmi.name, "vmi-status")["outcome"] == "reverted"
    vmi.wait_told(seen(1))
    rule.wait_used(2)
    peer.wait_published()
    assert vmi.service_status() == {"vncSessions": 1}
    assert len(handler.lines(f"vmi-status: {vmi.namespace}/vm: reverted")) == 1


def test_a_watch_that_is_too_old_is_begun_anew(
    client: Client, namespace: str, node: Node, vmi: Vmi, gateway: Gateway, peers: Peers
) -> None:
    """410: the server has forgotten where we are. The list tells what was missed."""
    rule = gateway.answer(is_vmi_watch, Reply.error(410, "too old resource version"), times=2)
    with node.handler(server=gateway.url):
        rule.wait_used(2)
        peers.connect(vmi.socket, sessions=1).wait_published()
        other = node.run(Vmi(client, namespace, "other"))
        peers.connect(other.socket, sessions=1).wait_published()


@pytest.mark.parametrize(
    "reply",
    [Reply.error(410), Reply(200), Reply(200, b"nonsense\n"), Reply.error(500), Reply.error(403)],
    ids=["410", "an end at once", "nonsense", "500", "403"],
)
def test_a_watch_that_never_works_is_not_tried_in_a_hot_loop(node: Node, gateway: Gateway, reply: Reply) -> None:
    """All handlers of a cluster would do it at once. The waits grow to 30 s, with full jitter."""
    rule = gateway.answer(is_vmi_watch, reply, times=ALWAYS)
    with node.handler(server=gateway.url) as handler:
        rule.wait_used(2)
        time.sleep(4)
        # Two watches, at 0, 0.25, 0.75, 1.75, 3.75 s on average. Without a wait it would be hundreds a second.
        assert rule.used <= 40
        assert len(handler.lines("virtualmachineinstances: cannot follow")) <= rule.used


def test_a_list_that_fails_at_first_makes_it_late_and_not_ready(
    node: Node, vmi: Vmi, gateway: Gateway, peers: Peers
) -> None:
    """Nothing is published before it is known what this node's VMIs are."""
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


def test_a_token_that_is_rotated_is_read_again(
    node: Node, vmi: Vmi, gateway: Gateway, handler: Handler, peers: Peers
) -> None:
    """The old one is refused with 401; the new one is in the file, and what was asked is asked again with it."""
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
    """The API server itself says 401 until the file holds a good one; the program need not be restarted."""
    node.spoil_token()
    with node.handler(server=gateway.url) as handler:
        handler.wait_for_log("virtualmachineinstances: cannot follow: 401: Unauthorized")
        node.renew_token()
        peers.connect(vmi.socket, sessions=1).wait_published()


def test_a_vmi_that_nobody_can_parse_is_passed_over(vmi: Vmi, gateway: Gateway, peers: Peers, node: Node) -> None:
    """Odd objects in the list and in the watch harm no other one."""

    def odd(answer: Any) -> Any:
        answer["items"] += [{}, {"metadata": {"name": 7}}, {"metadata": {"namespace": "a", "name": "b", "uid": "c"}}, 7]
        return answer

    gateway.change_answer(lambda r: r.path.endswith("/virtualmachineinstances") and not r.is_watch, odd, times=2)
    with node.handler(server=gateway.url):
        peers.connect(vmi.socket, sessions=1).wait_published()
        wait_until(lambda: len(gateway.requests) > 4, what="it is at work")
