"""The API server, or a proxy in front of it, answers in every possible way; each answer leads to a readable state."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from servicestatus.v1 import session_report_service_pb2 as pb
from tests.apiserver.gateway import (
    Gateway,
    Reply,
    Request,
    is_companion_write,
    is_vmi_patch,
)
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peers
from tests.apiserver.vmis import Vmi, seen, service_status
from tests.cluster.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("service_status_schema")

ALWAYS = 1 << 30


@pytest.fixture(scope="module")
def gateway_of_module(control_plane: ControlPlane) -> Iterator[Gateway]:
    with Gateway(control_plane.url, control_plane.ca) as before:
        yield before


@pytest.fixture(scope="module")
def handler_of_module(shared_node_of_module: Node, gateway_of_module: Gateway) -> Iterator[Handler]:
    with shared_node_of_module.handler("--api-timeout=1s", server=gateway_of_module.url) as running:
        yield running


@pytest.fixture
def node(shared_node_of_module: Node) -> Node:
    return shared_node_of_module


@pytest.fixture
def gateway(gateway_of_module: Gateway) -> Iterator[Gateway]:
    """Drop the rules of the previous test."""
    gateway_of_module.reset()
    yield gateway_of_module
    gateway_of_module.reset()


@pytest.fixture
def handler(handler_of_module: Handler) -> Handler:
    return handler_of_module


Places = pytest.mark.parametrize(
    ("place", "matches"), [("vmi-status", is_vmi_patch), ("companion", is_companion_write)], ids=["vmi", "companion"]
)


@pytest.mark.parametrize(
    ("reply", "outcomes"),
    [
        (Reply.error(409), ["conflict"]),
        (Reply.error(429, Retry_After="1"), ["error"]),
        (Reply.error(500), ["error"]),
        (Reply.error(503), ["error"]),
        (Reply(504, b"<html>gateway timeout</html>"), ["error"]),
        (Reply(200, b"not JSON at all"), ["error"]),
        (Reply(200, b"[]"), ["error"]),
        (Reply(200, b"{}"), ["conflict", "error"]),
    ],
    ids=["409", "429", "500", "503", "504 and HTML", "200 and nonsense", "200 and a list", "200 and nothing"],
)
def test_a_failed_write_is_tried_again(
    vmi: Vmi, gateway: Gateway, handler: Handler, peers: Peers, reply: Reply, outcomes: list[str]
) -> None:
    """Until it succeeds; the log then reports the recovery. Both publishers fail here, independently."""
    peer = peers.connect(vmi.socket)
    peer.wait_published()
    rules = [gateway.answer(matches, reply) for matches in (is_vmi_patch, is_companion_write)]
    peer.report(1)
    for rule in rules:
        rule.wait_used()
    peer.wait_published()
    assert vmi.service_status() == {"vncSessions": 1}
    assert vmi.told() == seen(1)
    for place in ("vmi-status", "companion"):
        publication = handler.publication(vmi.namespace, vmi.name, place)
        assert (publication["state"], publication["failures"]) == ("PUBLISH_STATE_PUBLISHED", "1")
        about = f" vmi={vmi.namespace}/vm"
        told = [line for line in handler.lines(f"publishing.worker: {place}: ") if line.endswith(about)]
        failure, end = (line.partition("publishing.worker: ")[2] for line in told)
        assert any(failure.startswith(f"{place}: {outcome}: ") for outcome in outcomes)
        assert end == f"{place}: published again{about}"


def test_a_server_that_asks_for_time_gets_it(vmi: Vmi, gateway: Gateway, handler: Handler, peers: Peers) -> None:
    """429 with `Retry-After: 2`: no request about that VMI for two seconds after it."""
    peer = peers.connect(vmi.socket)
    peer.wait_published()
    rule = gateway.answer(is_vmi_patch, Reply.error(429, Retry_After="2"))
    peer.report(1)
    rule.wait_used()
    peer.wait_published()
    *_, refused, again = [request for request in gateway.requests if is_vmi_patch(request)]
    assert (refused.status, again.status) == (429, 200)
    assert again.at - refused.at >= 2


@Places
def test_what_is_forbidden_is_told(
    vmi: Vmi, gateway: Gateway, handler: Handler, peers: Peers, place: str, matches: Callable[[Request], bool]
) -> None:
    """To the agent, by grpcurl, and once in the log. The other publisher shows the number."""
    peer = peers.connect(vmi.socket)
    peer.wait_published()
    rule = gateway.answer(matches, Reply.error(403, "no role allows it"), times=ALWAYS)
    peer.report(1)
    assert peer.wait_state(pb.PUBLISH_STATE_FAILING) == "403: no role allows it"
    rule.wait_used(2)
    publication = handler.publication(vmi.namespace, vmi.name, place)
    assert (publication["outcome"], publication["message"]) == ("forbidden", "403: no role allows it")
    assert len(handler.lines(f"{place}: forbidden: 403: no role allows it vmi={vmi.namespace}/vm")) == 1
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
    """The handler reads the server's state, and writes nothing twice."""
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
    """Return the number that a patch would publish."""
    if isinstance(request.body, list):
        return request.body[2]["value"].get("vncSessions")
    return request.body["status"]["vncSessions"]


def test_a_server_that_takes_the_patch_and_does_nothing_is_told_as_reverted(
    vmi: Vmi, gateway: Gateway, handler: Handler, peers: Peers
) -> None:
    """As KubeVirt's webhook does for users that it does not trust: HTTP 200, with the former status."""
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
    told = [line for line in handler.lines("vmi-status: reverted: ") if line.endswith(f" vmi={vmi.namespace}/vm")]
    assert len(told) == 1
