"""A companion has the label of its handler's node. From that label alone the guard decides what a handler may do."""

import pytest

from tests.apiserver.guard.requests import CONFLICT, FORBIDDEN, HERE, NO_NODE, OK, THERE, UNPROCESSABLE, status_of
from tests.apiserver.identities import NODE_LABEL, Handler, User, companion_of
from tests.cluster.objects import Object

OWNER = "a companion has one owner, the VMI of its name and of its spec.vmiUID, and does not block its deletion"
MINE = "of a companion the handler may set the label of its node and the status, not the metadata:"


def foreign(label: str, handler: str) -> tuple[int, str]:
    return FORBIDDEN, f'the companion bears the label of node "{label}", the handler is on node "{handler}"'


def test_a_handler_keeps_the_companions_of_its_node(here: Handler, vmi: Object) -> None:
    """Create it, write it twice, set the label that it has already, delete it."""
    created = here.create(companion_of(vmi, HERE)).taken()
    first = here.write_status(created, status_of(created, HERE, vncSessions=2)).taken()
    assert first["status"] == status_of(created, HERE, vncSessions=2)
    second = here.write_status(first, {"vncSessions": None}).taken()
    assert second["status"] == status_of(created, HERE)
    assert here.take_over(created, HERE).taken()["metadata"] == second["metadata"]
    here.delete(created).taken()


def test_a_companion_is_created_with_the_label_of_its_handlers_node(
    here: Handler, there: Handler, nowhere: User, vmi: Object
) -> None:
    """Without the label, or with that of another node, its handler would not see it in its watch."""
    assert there.create(companion_of(vmi, HERE)).denial == foreign(HERE, THERE)
    assert nowhere.create(companion_of(vmi, HERE)).denial == NO_NODE
    assert nowhere.create(companion_of(vmi, "")).denial == NO_NODE
    bare = companion_of(vmi, HERE)
    del bare["metadata"]["labels"]
    assert here.create(bare).denial == foreign("", HERE)


@pytest.mark.parametrize(
    "change",
    [
        {"apiVersion": "v1", "kind": "Pod"},
        {"apiVersion": "example.com/v1"},
        {"name": "another"},
        {"uid": "another"},
        {"controller": True},
        {"blockOwnerDeletion": True},
    ],
    ids=str,
)
def test_a_companion_has_its_vmi_as_its_owner(here: Handler, vmi: Object, change: Object) -> None:
    """Otherwise it would outlive its VMI, or be removed before it."""
    companion = companion_of(vmi, HERE)
    companion["metadata"]["ownerReferences"][0].update(change)
    assert here.create(companion).denial == (FORBIDDEN, OWNER)


def test_a_companion_has_one_owner(here: Handler, vmi: Object) -> None:
    """Neither none nor two: with two it would stay when its VMI is deleted."""
    companion = companion_of(vmi, HERE)
    (owner,) = companion["metadata"]["ownerReferences"]
    for owners in ([], [owner, {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b"}]):
        companion["metadata"]["ownerReferences"] = owners
        assert here.create(companion).denial == (FORBIDDEN, OWNER)


def test_a_companion_of_another_node_is_neither_written_nor_deleted(
    there: Handler, nowhere: User, companion: Object
) -> None:
    """Not even if the patch contains the right label: the status subresource cannot change a label."""
    expected = foreign(HERE, THERE)
    status = status_of(companion, THERE, vncSessions=0)
    assert there.write_status(companion, status).denial == expected
    smuggled = {NODE_LABEL: THERE}
    assert there.write_status(companion, status, labels=smuggled).denial == expected
    assert there.delete(companion).denial == expected
    assert nowhere.write_status(companion, status).denial == NO_NODE
    assert nowhere.take_over(companion, "").denial == NO_NODE
    assert nowhere.delete(companion).denial == NO_NODE


def test_a_status_bears_the_node_of_its_writer_and_the_vmi_that_it_is_about(here: Handler, companion: Object) -> None:
    """Both name the handler that wrote it; neither may be forged or omitted."""
    unsigned = (FORBIDDEN, "a status bears the node of the handler that writes it")
    assert here.write_status(companion, {"vncSessions": 1}).denial == unsigned
    assert here.write_status(companion, status_of(companion, THERE)).denial == unsigned
    of_none = (FORBIDDEN, "a status names the VMI that it is about")
    assert here.write_status(companion, {"nodeName": HERE}).denial == of_none


@pytest.mark.parametrize(
    ("metadata", "names"),
    [
        ({"annotations": {"a": "b"}}, "annotations"),
        ({"finalizers": ["example.com/a"]}, "finalizers"),
        ({"ownerReferences": None}, "ownerReferences"),
        ({"labels": {"a": "b"}}, "a"),
    ],
    ids=str,
)
def test_nothing_else_of_its_companion_is_the_handlers(
    here: Handler, companion: Object, metadata: Object, names: str
) -> None:
    """The owner reference leads to its removal; other metadata belongs to other clients."""
    assert here.merge_patch(companion, {"metadata": metadata}).denial == (FORBIDDEN, f"{MINE} {names}")


def test_a_companion_is_created_with_nothing_that_would_keep_it(here: Handler, vmi: Object) -> None:
    """A finalizer would block the deletion of its namespace."""
    companion = companion_of(vmi, HERE)
    companion["metadata"] |= {"finalizers": ["example.com/a"]}
    assert here.create(companion).denial == (FORBIDDEN, f"{MINE} finalizers")


def test_a_companion_has_room_for_what_a_handler_writes_and_no_more(here: Handler, companion: Object) -> None:
    """A stolen token cannot fill etcd with one."""
    condition = {"status": "True", "reason": "A", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    kinds = [{**condition, "type": f"Kind{number}", "message": "x" * 1024} for number in range(9)]
    here.write_status(companion, status_of(companion, HERE, conditions=kinds[:8])).taken()
    assert here.merge_patch(companion, {}).code == OK
    for conditions in (kinds, [{**kinds[0], "message": "x" * 1025}]):
        newest = here.merge_patch(companion, {}).taken()
        assert here.write_status(newest, status_of(companion, HERE, conditions=conditions)).code == UNPROCESSABLE


def test_a_companion_keeps_the_record_of_its_field_managers(here: Handler, companion: Object) -> None:
    """An empty entry would reset it for every client; in a write of the status the server ignores it."""
    denied = (FORBIDDEN, "the record of field managers is the API server's")
    reset: Object = {"metadata": {"managedFields": [{}]}}
    assert here.merge_patch(companion, reset).denial == denied
    status = status_of(companion, HERE)
    written = here.write_status(companion, status, managedFields=[{}]).taken()
    assert written["metadata"]["managedFields"][0] == companion["metadata"]["managedFields"][0]


def test_what_others_put_on_a_companion_stays(root: User, here: Handler, companion: Object) -> None:
    """The handler's writes keep the labels of other clients."""
    root.merge_patch(companion, {"metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}}}).taken()
    assert here.take_over(companion, HERE).taken()["metadata"]["labels"]["team"] == "a"


def test_the_target_of_a_migration_takes_the_companion_over(here: Handler, there: Handler, companion: Object) -> None:
    """First the label, then the status. A late write of the source is rejected, with and without a precondition."""
    mine = there.take_over(companion, THERE).taken()
    newest = there.write_status(mine, status_of(companion, THERE, vncSessions=1)).taken()
    assert here.write_status(companion, status_of(companion, HERE)).code == CONFLICT
    assert here.write_status(newest, status_of(companion, HERE)).denial == foreign(THERE, HERE)


def test_a_companion_is_taken_and_never_given(here: Handler, companion: Object) -> None:
    """No handler can make another node's handler responsible."""
    assert here.take_over(companion, THERE).denial == foreign(THERE, HERE)


def test_a_lost_label_is_put_back(root: User, here: Handler, companion: Object) -> None:
    """A user removed the label, so the handler's watch no longer shows the companion."""
    bare = root.merge_patch(companion, {"metadata": {"labels": {NODE_LABEL: None}}}).taken()
    assert "labels" not in bare["metadata"]
    here.take_over(companion, HERE).taken()


def test_the_base_does_not_see_who_steals_a_companion(here: Handler, there: Handler, companion: Object) -> None:
    """The base does not read the VMI, so theft looks like a takeover (docs/security-guards.md)."""
    stolen = there.take_over(companion, THERE).taken()
    there.write_status(stolen, status_of(companion, THERE)).taken()
    mine = here.take_over(companion, HERE).taken()
    here.write_status(mine, status_of(companion, HERE, vncSessions=1)).taken()
