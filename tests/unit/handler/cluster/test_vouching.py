"""A claim that the handler cannot withdraw ends the renewals of its Lease."""

import logging

import pytest

from handler_service.cluster.vouching import Vouching
from handler_service.kube.companion import Companion
from handler_service.kube.conditions import Detail, ServiceDetail
from handler_service.model import DesiredStatus, PublishedValue, Reason, ServiceStatus, ServiceValue, VmiId
from servicestatus.v1 import sessions_pb2 as types

VM, OTHER = VmiId("ns", "vm", "u1"), VmiId("ns", "other", "u2")


def companion(vmi: VmiId = VM, *, sessions: int = 0, observed: bool = True) -> Companion:
    detail = Detail(observed, "Watching" if observed else "AgentSilent", "", None, "n1")
    return Companion(vmi, 1, "1", "c", "n1", PublishedValue(sessions, detail), ())


def desired(*, sessions: int = 0, observed: bool = True, synced: bool = True) -> DesiredStatus:
    return DesiredStatus(sessions, observed, Reason.WATCHING, "", None, synced, ())


class Scene:
    """The handler's desired statuses, and time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.statuses: dict[VmiId, DesiredStatus | None] = {VM: desired(), OTHER: desired()}
        self.vouching = Vouching(self.statuses.get, lambda: self.now)

    def set(self, status: DesiredStatus | None, vmi: VmiId = VM) -> None:
        self.statuses[vmi] = status
        self.vouching.changed(vmi)

    def after(self, seconds: float) -> bool:
        self.now += seconds
        return self.vouching.vouches()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_without_companions_and_with_right_ones_the_handler_vouches(scene: Scene) -> None:
    assert scene.vouching.vouches()
    scene.vouching.shown(companion())
    assert scene.after(100)


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(desired(observed=False), id="the number is not known any more"),
        pytest.param(desired(sessions=1), id="a viewer is connected, and the companion says Idle"),
        pytest.param(desired(sessions=2, observed=False), id="an unknown number that is higher"),
    ],
)
def test_a_claim_that_cannot_be_withdrawn_for_ten_seconds_ends_the_renewals(
    scene: Scene, status: DesiredStatus
) -> None:
    scene.vouching.shown(companion())
    scene.set(status)
    assert scene.after(9.9)
    assert not scene.after(0.1)
    scene.vouching.shown(companion(sessions=status.sessions, observed=status.observed))
    assert scene.vouching.vouches()


def test_a_number_that_is_too_high_is_corrected_in_its_turn(scene: Scene) -> None:
    """A wrong 1 is better than a wrong 0, and than a node without any value."""
    scene.vouching.shown(companion(sessions=1))
    scene.set(desired())
    assert scene.after(100)


def test_a_companion_that_claims_nothing_needs_no_withdrawal(scene: Scene) -> None:
    scene.vouching.shown(companion(observed=False))
    scene.set(desired(sessions=1))
    assert scene.after(100)


@pytest.mark.parametrize("status", [None, desired()], ids=["another handler's VMI", "what is shown is right again"])
def test_a_claim_that_need_not_be_withdrawn_any_more_does_not_count(scene: Scene, status: DesiredStatus | None) -> None:
    scene.vouching.shown(companion())
    scene.set(desired(observed=False))
    assert not scene.after(10)
    scene.set(status)
    assert scene.vouching.vouches()


def test_a_companion_that_is_gone_claims_nothing(scene: Scene) -> None:
    for vmi in (VM, OTHER):
        scene.vouching.shown(companion(vmi))
        scene.set(desired(observed=False), vmi)
    assert not scene.after(10)
    scene.vouching.gone(VM)
    assert not scene.vouching.vouches()
    scene.vouching.listed([VM])
    assert scene.vouching.vouches()


def test_each_claim_has_its_own_ten_seconds(scene: Scene) -> None:
    """On a busy node some claim waits for its write at every moment."""
    for vmi in (VM, OTHER):
        scene.vouching.shown(companion(vmi))
        scene.set(desired(observed=False), vmi)
        assert scene.after(9)
        scene.vouching.shown(companion(vmi, observed=False))
    assert scene.after(9)


def test_a_former_runs_claim_is_not_vouched_for_until_an_agent_has_reported(scene: Scene) -> None:
    scene.statuses[VM] = None
    scene.vouching.shown(companion())
    scene.set(desired(synced=False))
    assert not scene.vouching.vouches()
    scene.set(desired())
    assert scene.vouching.vouches()


def test_a_pod_that_is_added_later_does_not_make_the_claim_a_former_runs(scene: Scene) -> None:
    """A user who creates one pod of a VMI after the other must not end the renewals of the whole node."""
    scene.set(desired())
    scene.vouching.shown(companion())
    scene.set(desired(synced=False, observed=False))
    assert scene.after(100)
    scene.vouching.shown(companion(observed=False))
    scene.vouching.shown(companion())
    assert scene.after(100)
    scene.set(None)
    scene.set(desired(synced=False))
    assert not scene.vouching.vouches()


def test_a_number_that_rises_faster_than_it_is_written_does_not_end_the_renewals(scene: Scene) -> None:
    """Each write makes another claim, which has not waited yet: one pod must not end the renewals of the node."""
    for sessions in range(1, 31):
        scene.vouching.shown(companion(sessions=sessions))
        scene.set(desired(sessions=sessions + 1))
        scene.vouching.shown(companion(sessions=sessions))  # by the watch, after the answer
        assert scene.after(1)
        scene.set(desired(sessions=sessions + 2))
    assert not scene.after(10)


def test_a_claim_that_ends_the_renewals_is_logged_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.vouching.shown(companion())
    scene.set(desired(observed=False))
    with caplog.at_level(logging.WARNING):
        scene.after(10)
        scene.after(10)
    [record] = caplog.records
    assert record.getMessage() == (
        "the companion shows an observed number that could not be withdrawn for 10 s; the handler does not renew its"
        " Lease until it is, and the controller marks the node's values"
    )
    assert record.__dict__["fields"] == {"vmi": "ns/vm"}


# --- other services than VNC ---

USB = types.SERVICE_USB_REDIRECTION


def with_usb(sessions: int, *, observed: bool = True) -> Companion:
    """A companion that shows a number of USB redirections, and does not observe VNC."""
    usb = ServiceValue(USB, sessions, ServiceDetail(observed, "Watching" if observed else "AgentSilent", ""))
    shown = companion(observed=False)
    return shown._replace(value=PublishedValue(0, shown.value.detail, (usb,)))


def usb_status(sessions: int = 0, *, observed: bool = True) -> DesiredStatus:
    usb = ServiceStatus(USB, sessions, observed=observed, reason=Reason.WATCHING)
    return DesiredStatus(0, False, Reason.AGENT_SILENT, "", None, True, (), (usb,))


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(usb_status(observed=False), id="the number is not known any more"),
        pytest.param(usb_status(1), id="a device is attached, and the companion says that none is"),
        pytest.param(desired(observed=False), id="nothing is watched any more"),
    ],
)
def test_a_claim_about_another_service_ends_the_renewals_too(scene: Scene, status: DesiredStatus) -> None:
    """Each condition is vouched for by the same Lease."""
    scene.statuses[VM] = usb_status()
    scene.vouching.shown(with_usb(0))
    assert scene.after(100)
    scene.set(status)
    assert scene.after(9.9)
    assert not scene.after(0.1)
    scene.vouching.shown(with_usb(status.service(USB).sessions, observed=False))
    assert scene.vouching.vouches()


def test_a_number_of_another_service_that_is_too_high_is_corrected_in_its_turn(scene: Scene) -> None:
    """As one of VNC is."""
    scene.statuses[VM] = usb_status()
    scene.vouching.shown(with_usb(2))
    assert scene.after(100)


def test_claims_that_are_each_withdrawn_in_time_do_not_add_up(scene: Scene) -> None:
    """An agent whose reports alternate must not keep the Lease of its node from a renewal."""
    usb = ServiceStatus(USB, 0, observed=False, reason=Reason.QUERY_FAILED)
    vnc_only = DesiredStatus(0, True, Reason.WATCHING, "", None, True, (), (usb,))
    scene.vouching.shown(companion())
    for _ in range(20):
        scene.set(usb_status())
        assert scene.after(1)
        scene.statuses[VM] = vnc_only  # while the write is under way that claims USB and withdraws VNC
        scene.vouching.shown(with_usb(0))
        assert scene.after(1)
        scene.statuses[VM] = usb_status()
        scene.vouching.shown(companion())
