"""What RBAC grants the handler: the lists and watches that it needs, and nothing that would widen its rights."""

import pytest

from tests.apiserver.guard.requests import FORBIDDEN, OK
from tests.apiserver.identities import ACCOUNT, NAMESPACE, Handler


@pytest.mark.parametrize(
    "query",
    [
        "/apis/kubevirt.io/v1/virtualmachineinstances?labelSelector=kubevirt.io/nodeName=guard-here",
        "/apis/kubevirt.io/v1/virtualmachineinstances?labelSelector=kubevirt.io/migrationTargetNodeName=guard-here",
        "/apis/servicestatus.kubevirt.io/v1alpha1/virtualmachineinstanceservicestatuses"
        "?labelSelector=servicestatus.kubevirt.io/nodeName=guard-here",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        "?fieldSelector=metadata.name=virtualmachineinstances.kubevirt.io",
    ],
)
def test_a_handler_lists_and_watches(here: Handler, query: str) -> None:
    """A list, and one second of a watch from there. Objects of other tests may still come and go in it."""
    listed = here.request("GET", query).taken()
    version = listed["metadata"]["resourceVersion"]
    code, events = here.watch(f"{query}&watch=1&timeoutSeconds=1&resourceVersion={version}")
    assert code == OK
    assert "ERROR" not in events


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/pods",
        "/api/v1/nodes",
        "/api/v1/namespaces/default/secrets",
        "/api/v1/namespaces/vmi-service-status/serviceaccounts/vmi-service-status-handler",
        "/apis/kubevirt.io/v1/virtualmachines",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
        "virtualmachineinstanceservicestatuses.servicestatus.kubevirt.io",
    ],
)
def test_a_handler_may_not_read(here: Handler, path: str) -> None:
    """The handler does not need it."""
    assert here.request("GET", path).code == FORBIDDEN


def test_a_handler_makes_no_tokens(here: Handler) -> None:
    """Otherwise it could create a token for another node's pod."""
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    assert here.request("POST", path, request).code == FORBIDDEN


def test_a_handler_removes_no_guard(here: Handler) -> None:
    """Neither a policy nor its binding can be deleted."""
    for kind in ("validatingadmissionpolicies", "validatingadmissionpolicybindings"):
        path = f"/apis/admissionregistration.k8s.io/v1/{kind}/vmi-service-status-vmi"
        assert here.request("DELETE", path).code == FORBIDDEN
