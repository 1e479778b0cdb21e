"""A handler may write the Lease of its own node, for 30 s, and no other Lease."""

from typing import Any

import pytest

from handler_service.kube import leases
from tests.apiserver.guard.requests import CREATED, FORBIDDEN, HERE, NO_NODE, OK, THERE
from tests.apiserver.identities import MERGE_PATCH, NAMESPACE, Handler, User
from tests.cluster.objects import Object

LEASES = leases.collection(NAMESPACE)
OTHER = (
    FORBIDDEN,
    'the handler on node "guard-here" may write the Lease "handler-guard-here" with the label of this node, and no'
    " other",
)


def lease(node: str = HERE, **spec: Any) -> Object:
    """As the handler of that node renews it."""
    made = leases.manifest(NAMESPACE, node, "pod", ["companion"], 1_700_000_000.0)
    made["spec"] |= spec
    return made


def test_a_handler_creates_and_renews_its_nodes_lease(here: Handler, root: User) -> None:
    """With the same requests as the handler sends."""
    assert here.request("POST", LEASES, lease()).code == CREATED
    renewed = here.request("PATCH", f"{LEASES}/handler-{HERE}", lease(), content_type=MERGE_PATCH)
    assert renewed.code == OK
    root.request("DELETE", f"{LEASES}/handler-{HERE}")


def test_a_handler_does_not_vouch_for_another_node(here: Handler, there: Handler, root: User) -> None:
    """Neither with the other node's Lease, nor with its own Lease's name and the other node's label."""
    assert here.request("POST", LEASES, lease(THERE)).denial == OTHER
    mislabelled = lease()
    mislabelled["metadata"]["labels"] = lease(THERE)["metadata"]["labels"]
    assert here.request("POST", LEASES, mislabelled).denial == OTHER
    assert there.request("POST", LEASES, lease(THERE)).code == CREATED
    assert here.request("PATCH", f"{LEASES}/handler-{THERE}", lease(THERE), content_type=MERGE_PATCH).denial == OTHER
    root.request("DELETE", f"{LEASES}/handler-{THERE}")


def test_a_lease_does_not_last_longer(here: Handler) -> None:
    """A stolen token keeps values fresh for at most 30 s after it was revoked."""
    answer = here.request("POST", LEASES, lease(leaseDurationSeconds=3600))
    assert answer.denial == (FORBIDDEN, "a handler's Lease lasts 30 s")


@pytest.mark.parametrize(
    "metadata",
    [
        {"finalizers": ["example.org/stay"]},
        {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": HERE, "uid": "u"}]},
    ],
)
def test_a_lease_has_nothing_that_keeps_or_removes_it(here: Handler, metadata: Object) -> None:
    """The controller removes the Lease of a node that was deleted."""
    made = lease()
    made["metadata"] |= metadata
    answer = here.request("POST", LEASES, made)
    assert answer.denial == (FORBIDDEN, "a handler's Lease has no finalizers and no owners")


def test_a_token_without_a_node_vouches_for_none(nowhere: User) -> None:
    """The token was created by hand."""
    assert nowhere.request("POST", LEASES, lease()).denial == NO_NODE


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", f"{LEASES}/handler-{HERE}"), ("DELETE", f"{LEASES}/handler-{HERE}"), ("GET", LEASES),
     ("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases")],
)  # fmt: skip
def test_a_handler_needs_no_more_of_leases(here: Handler, method: str, path: str) -> None:
    """It cannot read or remove one, and has no rights in another namespace."""
    assert here.request(method, path, lease() if method == "POST" else None).code == FORBIDDEN
