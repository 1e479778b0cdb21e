"""Tests which events are written, and when: each rule with literal times."""

from dataclasses import replace

from handler_service.events.policy import EventPolicy, Kind, VmiEvent
from handler_service.model import Reason, VmiId
from servicestatus.rate_limit import TokenBucket
from tests.unit.handler.builders import OTHER_VMI, VMI, desired

Told = list[tuple[float, str, int]]


class Tellers:
    """Collects events in virtual time, each as soon as it is due."""

    def __init__(self, burst: int = 50) -> None:
        self.policy = EventPolicy(TokenBucket(burst, 1.0))
        self.now = 0.0
        self.all: list[tuple[float, VmiEvent]] = []

    def run(self, until: float) -> None:
        while (wake := self.policy.wake_at(self.now)) is not None and wake <= until:
            self.now = max(self.now, wake)
            self.all += [(self.now, one) for one in self.policy.take_due(self.now)]
        self.now = until

    def see(self, at: float, sessions: int, vmi: VmiId = VMI, *, observed: bool = True, synced: bool = True) -> None:
        self.run(at)
        self.policy.observe(vmi, desired(sessions, observed=observed, synced=synced), self.now)

    def refuse(self, at: float, problem: str) -> None:
        self.run(at)
        self.policy.refused(VMI, problem, self.now)

    def told(self, until: float, vmi: VmiId = VMI) -> Told:
        self.run(until)
        return [(round(at, 6), one.kind.name, one.times) for at, one in self.all if one.vmi == vmi]


def test_somebody_comes_and_everybody_leaves() -> None:
    """The first event is immediate, the second follows if no viewer is back within 1 s; other numbers are no events."""
    scene = Tellers()
    for at, sessions in ((0.0, 0), (100.0, 1), (110.0, 2), (120.0, 1), (200.0, 0)):
        scene.see(at, sessions)
    assert scene.told(500.0) == [(100.0, "STARTED", 1), (201.0, "ENDED", 1)]


def test_what_was_there_at_first_is_no_news() -> None:
    """Otherwise a handler that restarts would repeat all events."""
    scene = Tellers()
    scene.see(0.0, 0, synced=False)
    scene.see(1.0, 3)
    scene.see(1.0, 0, OTHER_VMI, observed=False)
    assert scene.told(500.0) == []
    assert scene.told(500.0, OTHER_VMI) == []


def test_a_viewer_that_is_back_within_a_second_was_not_away() -> None:
    """A live migration, a page that is loaded again."""
    scene = Tellers()
    for at, sessions in ((0.0, 1), (100.0, 0), (100.9, 1)):
        scene.see(at, sessions)
    assert scene.told(500.0) == []
    scene.see(500.0, 0)
    assert scene.told(600.0) == [(501.0, "ENDED", 1)]


def times(scene: Tellers) -> list[tuple[str, int, float, float]]:
    """Of all events: kind, how often, when first and when last."""
    return [(one.kind.name, one.times, one.first, one.last) for _, one in scene.all]


def test_three_visits_within_a_minute_are_three_visits() -> None:
    """Each with the times at which it began and ended."""
    scene = Tellers()
    scene.see(0.0, 0)
    for began in (100.0, 120.0, 140.0):
        scene.see(began, 1)
        scene.see(began + 10.0, 0)
    scene.run(500.0)
    assert times(scene) == [
        ("STARTED", 1, 100.0, 100.0),
        ("ENDED", 1, 110.0, 110.0),
        ("STARTED", 1, 120.0, 120.0),
        ("ENDED", 1, 130.0, 130.0),
        ("STARTED", 1, 140.0, 140.0),
        ("ENDED", 1, 150.0, 150.0),
    ]


def test_after_ten_events_there_is_one_a_minute_and_the_rest_is_merged() -> None:
    """By kind, with how often, when first and when last: no visit is lost, and no time is wrong."""
    scene = Tellers()
    scene.see(0.0, 0)
    for number in range(8):
        scene.see(100.0 + 4 * number, 1)
        scene.see(102.0 + 4 * number, 0)
    scene.run(1000.0)
    assert [event[:2] for event in times(scene)[:10]] == [("STARTED", 1), ("ENDED", 1)] * 5
    # The bucket was empty at 119, when it had begun to fill at 100.
    assert times(scene)[10:] == [("STARTED", 3, 120.0, 128.0), ("ENDED", 3, 122.0, 130.0)]
    assert [at for at, _ in scene.all[10:]] == [160.0, 220.0]


def test_a_program_that_comes_and_goes_for_an_hour_makes_few_events() -> None:
    """And they say how often it was."""
    scene = Tellers()
    scene.see(0.0, 0)
    for number in range(360):
        scene.see(100.0 + 10 * number, 1)
        scene.see(105.0 + 10 * number, 0)
    scene.run(10_000.0)
    assert len(scene.all) <= 10 + 61
    assert sum(one.times for _, one in scene.all if one.kind is Kind.STARTED) == 360
    assert sum(one.times for _, one in scene.all if one.kind is Kind.ENDED) == 360


def test_a_viewer_that_is_back_within_a_second_leaves_the_times_of_what_waits_as_they_were() -> None:
    scene = Tellers()
    scene.see(0.0, 0)
    for number in range(6):
        scene.see(100.0 + 4 * number, 1)
        scene.see(102.0 + 4 * number, 0)
    scene.see(124.0, 1)
    scene.see(130.0, 0)
    scene.see(130.5, 1)
    scene.run(1000.0)
    assert times(scene)[10:] == [("ENDED", 1, 122.0, 122.0), ("STARTED", 2, 120.0, 124.0)]


def test_unknown_is_told_after_ten_seconds_and_once() -> None:
    """An agent or libvirt that is restarted is back by then; that it is known again is no event."""
    scene = Tellers()
    scene.see(0.0, 1)
    scene.see(100.0, 1, observed=False)
    scene.see(109.0, 1)
    assert scene.told(200.0) == []
    scene.see(200.0, 1, observed=False)
    scene.see(300.0, 1)
    assert scene.told(500.0) == [(210.0, "UNKNOWN", 1)]


def test_who_was_there_before_it_was_unknown_has_not_come_again() -> None:
    """And an unknown zero is not everybody's leaving."""
    scene = Tellers()
    scene.see(0.0, 1)
    scene.see(100.0, 0, observed=False)
    scene.see(200.0, 1)
    assert scene.told(500.0) == [(110.0, "UNKNOWN", 1)]


def test_a_number_that_is_not_sure_says_that_somebody_came() -> None:
    """A lower bound, say: at least one."""
    scene = Tellers()
    scene.see(0.0, 0)
    scene.see(100.0, 1, observed=False)
    assert [told[1] for told in scene.told(500.0)] == ["STARTED", "UNKNOWN"]


def test_a_refusal_is_told_when_it_lasts() -> None:
    """The event has the newest message. A refusal that has ended is not reported."""
    scene = Tellers()
    scene.see(0.0, 0)
    scene.refuse(100.0, "companion: conflict")
    scene.refuse(105.0, "")
    scene.refuse(200.0, "companion: forbidden: 1")
    scene.refuse(205.0, "companion: forbidden: 2")
    assert scene.told(500.0) == [(210.0, "REFUSED", 1)]
    assert scene.all[0][1].detail == "companion: forbidden: 2"


def test_an_unknown_value_says_why() -> None:
    """By the reason's word."""
    scene = Tellers()
    scene.see(0.0, 1)
    scene.run(100.0)
    unknown = replace(desired(1, observed=False), reason=Reason.LIBVIRT_UNREACHABLE)
    scene.policy.observe(VMI, unknown, 100.0)
    scene.run(200.0)
    assert scene.all == [(110.0, VmiEvent(VMI, Kind.UNKNOWN, "LibvirtUnreachable", 1, 100.0, 100.0))]


def test_a_vmi_that_is_another_nodes_is_none_of_ours() -> None:
    """Pending events are dropped, and a VMI that returns starts from nothing."""
    scene = Tellers()
    scene.see(0.0, 1)
    scene.see(100.0, 0)
    scene.policy.observe(VMI, None, 100.5)
    scene.see(200.0, 0)
    assert scene.told(500.0) == []
    assert scene.policy.wake_at(500.0) is None


def test_a_vmi_that_goes_while_an_event_of_another_one_is_written() -> None:
    """The VMI is no longer this handler's, and none of its events is written."""
    scene = Tellers()
    for sessions in (0, 1):
        for vmi in (VMI, OTHER_VMI):
            scene.policy.observe(vmi, desired(sessions), 0.0)
    due = scene.policy.take_due(1.0)
    first = next(due)
    scene.policy.observe(OTHER_VMI if first.vmi == VMI else VMI, None, 1.0)
    assert list(due) == []


def test_a_viewer_that_leaves_while_an_event_of_another_vmi_is_written_was_there() -> None:
    """Its visit is reported with its own time, and its end when it has lasted."""
    scene = Tellers()
    for sessions in (0, 1):
        for vmi in (VMI, OTHER_VMI):
            scene.policy.observe(vmi, desired(sessions), 0.0)
    due = scene.policy.take_due(0.5)
    first = next(due)
    other = OTHER_VMI if first.vmi == VMI else VMI
    scene.policy.observe(other, desired(0), 0.5)
    assert list(due) == [VmiEvent(other, Kind.STARTED, "", 1, 0.0, 0.0)]
    assert scene.policy.due(other, 0.5) == 1.5


def test_a_node_tells_a_burst_and_then_one_a_second() -> None:
    """The VMI that has waited longest is first, and no VMI is left out."""
    scene = Tellers(burst=2)
    vmis = [VmiId("default", f"vm-{number}", "") for number in range(4)]
    for vmi in vmis:
        scene.see(0.0, 0, vmi)
    scene.run(100.0)
    for vmi in vmis:
        scene.policy.observe(vmi, desired(1), 100.0)
    scene.run(500.0)
    assert [at for at, _ in scene.all] == [100.0, 100.0, 101.0, 102.0]
    assert {one.vmi for _, one in scene.all} == set(vmis)


def test_when_one_vmi_is_due_is_known_without_the_others() -> None:
    """So that a change of one need not look at all: its own debounce, its own bucket, and the node's."""
    scene = Tellers(burst=1)
    scene.see(0.0, 0)
    scene.see(0.0, 0, OTHER_VMI)
    assert scene.policy.due(VMI, 0.0) is None
    scene.see(100.0, 1)
    assert scene.policy.due(VMI, 100.0) == 100.0
    scene.see(100.2, 1, OTHER_VMI)
    assert scene.policy.due(OTHER_VMI, 100.2) == 101.0
    scene.see(110.0, 0)
    assert scene.policy.due(VMI, 110.0) == 111.0
    scene.policy.observe(VMI, None, 110.0)
    assert scene.policy.due(VMI, 110.0) is None
