"""An event is about a VMI of its namespace and names its handler's node. A handler cannot change events of others."""

from typing import Any

import pytest

from tests.apiserver.guard.requests import CREATED, FORBIDDEN, HERE, NO_NODE, THERE
from tests.apiserver.identities import Handler, User, event_about, path_of
from tests.cluster.objects import Object

SIGNED = (FORBIDDEN, "an event bears the handler's name and its node")
ABOUT = (FORBIDDEN, "an event is about a VMI of its namespace")
METADATA = "an event of the handler has a name and a namespace, and no other metadata:"
NAMED = (FORBIDDEN, "an event names its VMI by kind, namespace, name and UID, and no other object")
AGAIN = {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}}


def test_a_handler_tells_of_a_vmi_and_that_it_happened_again(here: Handler, vmi: Object) -> None:
    """Created, then counted."""
    event = event_about(vmi, HERE)
    assert here.create(event).code == CREATED
    assert here.merge_patch(event, AGAIN).taken()["series"]["count"] == 2


def test_an_event_bears_the_node_of_its_handler(here: Handler, nowhere: User, vmi: Object) -> None:
    """So that a false event shows which node it came from."""
    assert here.create(event_about(vmi, THERE)).denial == SIGNED
    assert here.create(event_about(vmi, HERE) | {"reportingController": "kubevirt.io/x"}).denial == SIGNED
    assert nowhere.create(event_about(vmi, HERE)).denial == NO_NODE


def test_an_event_of_somebody_else_stays_as_it_is(here: Handler, there: Handler, root: User, vmi: Object) -> None:
    """Neither an event of another node nor one of another program may be changed."""
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
    """A compromised node cannot post events about other objects."""
    event = event_about(vmi, HERE)
    event["regarding"] |= regarding
    assert here.create(event).denial == ABOUT


@pytest.mark.parametrize(
    ("metadata", "names"),
    [
        ({"finalizers": ["example.com/kept"]}, "finalizers"),
        ({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b"}]}, "ownerReferences"),
        ({"annotations": {"a": "x" * 250_000}}, "annotations"),
        ({"labels": {"a": "b"}}, "labels"),
    ],
    ids=["finalizers", "owners", "annotations", "labels"],
)
def test_an_event_has_no_metadata_of_its_own(here: Handler, vmi: Object, metadata: dict[str, Any], names: str) -> None:
    """A finalizer blocks the deletion of a namespace, and 250 KB of annotations per event fill etcd."""
    event = event_about(vmi, HERE)
    event["metadata"] |= metadata
    assert here.create(event).denial == (FORBIDDEN, f"{METADATA} {names}")


def test_an_event_that_exists_gets_no_metadata_either(here: Handler, vmi: Object) -> None:
    """The limits of a create also apply to an update."""
    event = event_about(vmi, HERE)
    here.create(event).taken()
    late = {"metadata": {"annotations": {"a": "b"}}}
    assert here.merge_patch(event, late).denial == (FORBIDDEN, f"{METADATA} annotations")


def test_an_event_keeps_the_record_of_its_field_managers(here: Handler, vmi: Object) -> None:
    """An empty entry would reset it."""
    event = event_about(vmi, HERE)
    here.create(event).taken()
    reset: Object = {"metadata": {"managedFields": [{}]}}
    assert here.merge_patch(event, reset).denial == (FORBIDDEN, METADATA)


@pytest.mark.parametrize(
    "change",
    [{"regarding": {"fieldPath": "x" * 10_000}}, {"regarding": {"resourceVersion": "1"}}, {"related": {"name": "a"}}],
    ids=["path", "version", "related"],
)
def test_an_event_names_nothing_but_its_vmi(here: Handler, vmi: Object, change: dict[str, Any]) -> None:
    """References without a size limit could hold text of any size."""
    event = event_about(vmi, HERE)
    for key, value in change.items():
        event[key] = event.get(key, {}) | value
    assert here.create(event).denial == NAMED


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_a_handler_does_nothing_else_with_events(here: Handler, vmi: Object, method: str) -> None:
    """It keeps in memory which events it has posted, so it needs no read."""
    event = event_about(vmi, HERE)
    here.create(event).taken()
    assert here.request(method, path_of(event), event).code == FORBIDDEN
    core = f"/api/v1/namespaces/{vmi['metadata']['namespace']}/events"
    assert here.request("GET", core).code == FORBIDDEN
