"""What the controller does about each companion, and when: seconds of virtual time."""

import pytest

from controller.decisions import Cause, Decisions, Key, Verb, VmiPlace
from tests.unit.controller.builders import companion, lease, marked

VM = Key("ns", "vm")


@pytest.fixture
def decisions() -> Decisions:
    """One VM on n1, whose handler renewed its Lease at 0; all lists were seen."""
    made = Decisions()
    made.leases_synced = made.companions_synced = made.vmis_synced = True
    made.vmi(VM, VmiPlace("u", "n1"), 0)
    made.lease(lease(), 0)
    made.companion(companion(), 0)
    return made


def due(decisions: Decisions, now: float) -> list[tuple[Verb, Cause]]:
    return [(action.verb, action.cause) for action in decisions.due(now)]


# --- the handler is away ----------------------------------------------------------------------------------------------


def test_a_companion_is_marked_when_the_lease_of_its_node_expires(decisions: Decisions) -> None:
    """30 s after the last renewal was seen."""
    assert due(decisions, 29.9) == []
    assert due(decisions, 30) == [(Verb.MARK, Cause.HANDLER_AWAY)]
    (action,) = decisions.due(30)
    assert action.message == "node n1: its handler has not renewed its Lease for 30 s"


def test_a_renewal_counts_from_the_moment_at_which_it_was_seen(decisions: Decisions) -> None:
    """What stands in it is another machine's clock."""
    decisions.lease(lease(renewed="2"), 20)
    assert due(decisions, 49.9) == []
    assert due(decisions, 50) == [(Verb.MARK, Cause.HANDLER_AWAY)]


def test_a_lease_that_is_seen_again_unchanged_is_not_renewed(decisions: Decisions) -> None:
    """A list shows it again, and a person may have edited a label."""
    decisions.lease(lease(renewed="1"), 20)
    assert due(decisions, 30) == [(Verb.MARK, Cause.HANDLER_AWAY)]


def test_a_node_without_a_lease_is_given_the_time_of_one(decisions: Decisions) -> None:
    """Its handler may be about to renew its first."""
    decisions.companion(companion("other", node="n2"), 100)
    decisions.vmi(Key("ns", "other"), VmiPlace("u", "n2"), 100)
    decisions.lease(lease(renewed="2"), 100)
    assert due(decisions, 100) == []
    decisions.lease(lease(renewed="3"), 129)
    assert due(decisions, 129.9) == []
    (action,) = decisions.due(130)
    assert (action.verb, action.companion.vmi.name) == (Verb.MARK, "other")


def test_a_marked_companion_is_left_alone(decisions: Decisions) -> None:
    """Until a handler writes it."""
    decisions.companion(marked(companion()), 31)
    assert due(decisions, 32) == []
    assert decisions.marked() == 1
    decisions.companion(companion(version=9), 33)
    assert due(decisions, 33) == [(Verb.MARK, Cause.HANDLER_AWAY)]


def test_a_handler_that_is_back_ends_it(decisions: Decisions) -> None:
    """The mark stays until the handler's next write."""
    decisions.companion(marked(companion()), 31)
    decisions.lease(lease(renewed="2"), 40)
    assert due(decisions, 41) == []
    assert decisions.away(41) == []


def test_after_an_outage_of_the_api_server_every_handler_has_time_to_renew(decisions: Decisions) -> None:
    """Else each outage of 20 s would mark the whole cluster."""
    decisions.leases.outage_ended(50, 20.0)
    assert due(decisions, 64.9) == []
    assert due(decisions, 65) == [(Verb.MARK, Cause.HANDLER_AWAY)]
    decisions.lease(lease(renewed="2"), 66)
    assert due(decisions, 95) == []


def test_a_watch_that_is_cut_again_and_again_does_not_keep_a_dead_handlers_values(decisions: Decisions) -> None:
    """A short outage cannot make the Lease of a live handler expire, so it postpones nothing."""
    for now in (12, 24, 29):
        decisions.leases.outage_ended(now, 1.0)
    assert due(decisions, 31) == [(Verb.MARK, Cause.HANDLER_AWAY)]


def test_nothing_is_decided_before_the_lists_were_seen() -> None:
    """A companion whose Lease was not listed yet has not lost its handler."""
    decisions = Decisions()
    decisions.companion(companion(), 0)
    decisions.companions_synced = True
    assert due(decisions, 100) == []
    decisions.leases_synced = True
    decisions.lease(lease(), 100)
    assert due(decisions, 101) == []


# --- the VM has moved -------------------------------------------------------------------------------------------------


def test_a_vm_that_moved_is_marked_where_no_handler_takes_it_over(decisions: Decisions) -> None:
    """20 s after it moved, though the former node's handler is there."""
    decisions.vmi(VM, VmiPlace("u", "n2"), 5)
    assert due(decisions, 24.9) == []
    assert due(decisions, 25) == [(Verb.MARK, Cause.VM_MOVED)]


def test_a_vm_that_moved_and_was_taken_over_is_left_alone(decisions: Decisions) -> None:
    """As every migration between two nodes with a handler ends."""
    decisions.vmi(VM, VmiPlace("u", "n2"), 5)
    decisions.lease(lease("n2"), 5)
    decisions.companion(companion(node="n2", version=2), 6)
    assert due(decisions, 26) == []


def test_a_vm_that_came_back_is_left_alone(decisions: Decisions) -> None:
    """The time begins again with the next move."""
    decisions.vmi(VM, VmiPlace("u", "n2"), 5)
    decisions.vmi(VM, VmiPlace("u", "n1"), 10)
    decisions.vmi(VM, VmiPlace("u", "n2"), 20)
    decisions.lease(lease(renewed="2"), 20)
    assert due(decisions, 39.9) == []


# --- nothing maintains it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [None, VmiPlace("another", "n1")])
def test_a_companion_without_its_vmi_is_removed(decisions: Decisions, place: VmiPlace | None) -> None:
    """After 30 s, in which the garbage collector, or the handler of the VMI of that name, is quicker."""
    decisions.vmi(VM, place, 5)
    decisions.lease(lease(renewed="2"), 20)
    assert due(decisions, 34.9) == []
    assert due(decisions, 35) == [(Verb.REMOVE, Cause.NO_VMI)]


@pytest.mark.parametrize("place", [None, VmiPlace("another", "n1")])
def test_a_companion_without_its_vmi_that_a_finalizer_keeps_is_marked(
    decisions: Decisions, place: VmiPlace | None
) -> None:
    """To delete it again would do nothing."""
    kept = companion()._replace(deleting=True)
    decisions.companion(kept, 0)
    decisions.vmi(VM, place, 5)
    decisions.lease(lease(renewed="2"), 20)
    assert due(decisions, 34.9) == []
    assert due(decisions, 35) == [(Verb.MARK, Cause.NO_VMI)]
    decisions.companion(marked(kept)._replace(deleting=True), 36)
    assert due(decisions, 49) == []


def test_without_a_list_of_vmis_none_is_missing(decisions: Decisions) -> None:
    """KubeVirt may not be installed yet, or its API does not answer."""
    decisions.vmis_synced = False
    decisions.companion(companion("other"), 0)
    decisions.lease(lease(renewed="2"), 30)
    assert due(decisions, 50) == []
    decisions.vmis_synced = True
    decisions.refit(50)
    decisions.lease(lease(renewed="3"), 60)
    assert due(decisions, 80) == [(Verb.REMOVE, Cause.NO_VMI)]


def test_what_a_handler_without_companions_left_behind_is_removed(decisions: Decisions) -> None:
    """The component vmi-status was added: its handlers renew their Leases and write no companions."""
    decisions.lease(lease(renewed="2", publishes="vmi-status"), 5)
    assert due(decisions, 6) == []
    decisions.lease(lease(renewed="3", publishes="vmi-status"), 30)
    assert due(decisions, 35.9) == []
    assert due(decisions, 36) == [(Verb.REMOVE, Cause.NOT_PUBLISHED)]


def test_a_handler_that_publishes_companions_again_keeps_them(decisions: Decisions) -> None:
    """The component was removed again."""
    decisions.lease(lease(renewed="2", publishes="vmi-status"), 5)
    assert due(decisions, 6) == []
    decisions.lease(lease(renewed="3"), 30)
    assert due(decisions, 36) == []
    assert due(decisions, 50) == []


def test_a_companion_that_is_gone_is_forgotten(decisions: Decisions) -> None:
    """Whatever was to be done about it."""
    decisions.companion_gone(VM)
    decisions.vmi(VM, None, 1)
    assert due(decisions, 100) == []
    assert decisions.action(VM, 100) is None


def test_the_lease_of_a_node_that_is_gone_is_forgotten(decisions: Decisions) -> None:
    """An hour after it expired, where neither a VMI nor a companion is on the node."""
    decisions.lease(lease("n2"), 0)
    used = decisions.nodes()
    assert used == {"n1"}
    assert decisions.leases.forget_unused(used, 3629, 3600) == []
    assert decisions.leases.forget_unused(used, 3630, 3600) == ["n2"]
    assert decisions.leases.forget_unused(used, 3631, 3600) == []
