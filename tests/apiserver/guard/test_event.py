"""An event is about a VMI of its namespace and bears its handler's node; events of others are not the handler's."""

from typing import Any

import pytest

from tests.apiserver.guard.requests import CREATED, FORBIDDEN, HERE, NO_NODE, THERE
from tests.apiserver.identities import Handler, User, event_about, path_of
from tests.cluster.objects import Object

SIGNED = (FORBIDDEN, "an event bears the handler's name and its node")
ABOUT = (FORBIDDEN, "an event is about a VMI of its namespace")
KEPT = (FORBIDDEN, "an event has no finalizers and no owners")
AGAIN = {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}}


def test_a_handler_tells_of_a_vmi_and_that_it_happened_again(here: Handler, vmi: Object) -> None:
    """Created, then counted."""
    event = event_about(vmi, HERE)
    assert here.create(event).code == CREATED
    assert here.merge_patch(event, AGAIN).taken()["series"]["count"] == 2


def test_an_event_bears_the_node_of_its_handler(here: Handler, nowhere: User, vmi: Object) -> None:
    """So that whoever lies is known."""
    assert here.create(event_about(vmi, THERE)).denial == SIGNED
    assert here.create(event_about(vmi, HERE) | {"reportingController": "kubevirt.io/x"}).denial == SIGNED
    assert nowhere.create(event_about(vmi, HERE)).denial == NO_NODE


def test_an_event_of_somebody_else_stays_as_it_is(here: Handler, there: Handler, root: User, vmi: Object) -> None:
    """Neither that of another node, nor one of another program."""
    event = event_about(vmi, HERE)
    here.create(event).taken()
    assert there.merge_patch(event, AGAIN).denial == SIGNED
    foreign = event_about(vmi, HERE) | {"reportingController": "kubevirt.io/virt-handler"}
    root.create(foreign).taken()
    assert here.merge_patch(foreign, AGAIN).denial == SIGNED


@pytest.mark.parametrize(
    "regarding",
    [{"kind": "Pod"}, {"apiVersion": "example.com/v1"}, {"namespace": "kube-system"}],
    ids=str,
)
def test_an_event_is_about_a_vmi_of_its_namespace(here: Handler, vmi: Object, regarding: dict[str, Any]) -> None:
    """A stranger's node tells nobody anything about other things."""
    event = event_about(vmi, HERE)
    event["regarding"] |= regarding
    assert here.create(event).denial == ABOUT


def test_an_event_keeps_no_namespace_alive(here: Handler, vmi: Object) -> None:
    """By a finalizer that nobody removes."""
    event = event_about(vmi, HERE)
    event["metadata"]["finalizers"] = ["example.com/kept"]
    assert here.create(event).denial == KEPT


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_a_handler_does_nothing_else_with_events(here: Handler, vmi: Object, method: str) -> None:
    """It remembers what it has told."""
    event = event_about(vmi, HERE)
    here.create(event).taken()
    assert here.request(method, path_of(event), event).code == FORBIDDEN
    core = f"/api/v1/namespaces/{vmi['metadata']['namespace']}/events"
    assert here.request("GET", core).code == FORBIDDEN
