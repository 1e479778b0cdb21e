"""The component that reads the VMI's node: no handler takes over a companion whose VMI is elsewhere."""

from collections.abc import Callable, Iterator

import pytest

from testbed.waiting import wait_until
from tests.apiserver.guard.requests import CREATED, FORBIDDEN, HERE, OK, THERE, status_of
from tests.apiserver.identities import Answer, Handler, User, collection_of, companion_of
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object, virtual_machine_instance
from tests.cluster.tools import REPOSITORY

OWNER_GUARD = REPOSITORY / "manifests" / "components" / "guard-companion-owner"


def elsewhere(node: str, handler: str) -> tuple[int, str]:
    return FORBIDDEN, f'the VMI is on node "{node}", the handler on node "{handler}"'


def seen_late(attempt: Callable[[], Answer], what: str) -> None:
    """The guard sees a change of a VMI with the delay of a watch."""
    wait_until(lambda: attempt().code, lambda code: code == OK, what=what)


def orphan(companion: Object) -> Object:
    """Remove its owner reference, or the garbage collector would remove it during the test."""
    metadata = {key: value for key, value in companion["metadata"].items() if key != "ownerReferences"}
    return {**companion, "metadata": metadata}


@pytest.fixture
def owner_guard(control_plane: ControlPlane, here: Handler, there: Handler, vmi: Object) -> Iterator[None]:
    """Apply it and wait until it is in force; remove it afterwards, since it slows down every other test."""
    mine, stolen = companion_of(vmi, HERE), companion_of(vmi, THERE)
    control_plane.kubectl("apply", "-k", OWNER_GUARD)
    try:
        wait_until(lambda: attempt(there, stolen)[1], bool, what="the guard is in force", interval=0.1)
        # It denies everything until it has listed the VMIs, so a request of the right handler shows when it has.
        wait_until(lambda: attempt(here, mine)[0], lambda code: code == CREATED, what="it knows VMIs", interval=0.1)
        yield
    finally:
        control_plane.kubectl("delete", "-k", OWNER_GUARD)
        wait_until(lambda: attempt(there, stolen)[1], lambda denial: not denial, what="it is gone", interval=0.1)


def attempt(handler: Handler, companion: Object) -> tuple[int, str]:
    """Return the answer to the creation of a companion, as a dry run."""
    return handler.request("POST", f"{collection_of(companion)}?dryRun=All", companion).denial


@pytest.mark.usefixtures("owner_guard")
def test_with_the_owner_guard_a_companion_is_neither_stolen_nor_squatted(
    here: Handler, there: Handler, vmi: Object
) -> None:
    """The VMI's status names its node; the handler of that node is not restricted."""
    assert there.create(companion_of(vmi, THERE)).denial == elsewhere(HERE, THERE)
    companion = here.create(companion_of(vmi, HERE)).taken()
    assert there.take_over(companion, THERE).denial == elsewhere(HERE, THERE)
    here.write_status(companion, status_of(companion, HERE, vncSessions=1)).taken()


@pytest.mark.usefixtures("owner_guard")
def test_with_the_owner_guard_a_stale_source_takes_nothing_back(
    root: User, here: Handler, there: Handler, vmi: Object
) -> None:
    """The target may take over as soon as the migration names it. The source may not take back after the migration."""
    companion = here.create(companion_of(vmi, HERE)).taken()
    label = "kubevirt.io/migrationTargetNodeName"
    root.merge_patch(vmi, {"metadata": {"labels": {label: THERE}}}).taken()
    seen_late(lambda: there.take_over(companion, THERE), "the target may take over")
    root.merge_patch(vmi, {"status": {"nodeName": THERE}, "metadata": {"labels": {label: None}}}).taken()
    wait_until(
        lambda: here.take_over(companion, HERE).denial,
        lambda denial: denial == elsewhere(THERE, HERE),
        what="the source may not take it back",
    )


@pytest.mark.usefixtures("owner_guard")
def test_with_the_owner_guard_a_former_vmis_companion_is_replaced(
    root: User, here: Handler, there: Handler, vmi: Object, namespace: str
) -> None:
    """The new VMI runs on another node: its handler takes over the old companion and deletes it."""
    stale = root.create(orphan(companion_of(vmi, HERE))).taken()
    root.delete(vmi).taken()
    successor = root.create(virtual_machine_instance("vm", namespace, status={"nodeName": THERE})).taken()
    seen_late(lambda: there.take_over(stale, THERE), "the successor's handler may take over")
    there.delete(stale).taken()
    expected = (FORBIDDEN, "the VMI of this name has another UID than the companion says")
    assert there.create(companion_of(vmi, THERE)).denial == expected
    there.create(companion_of(successor, THERE)).taken()
    assert here.create(companion_of(successor, HERE)).denial == elsewhere(THERE, HERE)
