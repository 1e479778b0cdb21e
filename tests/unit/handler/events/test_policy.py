"""What is told by events, and when: each rule with literal times."""

from dataclasses import replace

from handler_service.events.policy import EventPolicy, Kind, VmiEvent
from handler_service.model import Reason, VmiId
from servicestatus.rate_limit import TokenBucket
from tests.unit.handler.builders import OTHER_VMI, VMI, desired

Told = list[tuple[float, str, int]]


class Tellers:
    """Announcements in virtual time: told as soon as they are due."""

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
    """The first at once, the second when nobody was back within a second; the numbers between are no events."""
    scene = Tellers()
    for at, sessions in ((0.0, 0), (100.0, 1), (110.0, 2), (120.0, 1), (200.0, 0)):
        scene.see(at, sessions)
    assert scene.told(500.0) == [(100.0, "STARTED", 1), (201.0, "ENDED", 1)]


def test_what_was_there_at_first_is_no_news() -> None:
    """A handler that starts anew would tell all of it again."""
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


def test_at_most_one_a_minute_and_then_how_it_is() -> None:
    """With how often it happened: somebody who comes and goes for an hour is sixty events, not hundreds."""
    scene = Tellers()
    for at, sessions in ((0.0, 0), (100.0, 1), (105.0, 0), (110.0, 1), (115.0, 0), (120.0, 1)):
        scene.see(at, sessions)
    assert scene.told(159.9) == [(100.0, "STARTED", 1)]
    assert scene.told(500.0) == [(100.0, "STARTED", 1), (160.0, "STARTED", 2)]


def test_a_visit_within_the_minute_shows_in_its_end() -> None:
    """Told is that everybody has left, which says that somebody was there."""
    scene = Tellers()
    for at, sessions in ((0.0, 1), (100.0, 0), (110.0, 1), (120.0, 0)):
        scene.see(at, sessions)
    assert scene.told(500.0) == [(101.0, "ENDED", 1), (161.0, "ENDED", 1)]


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
    """With the newest words; one that is over is not told."""
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
    assert scene.all == [(110.0, VmiEvent(VMI, Kind.UNKNOWN, "LibvirtUnreachable", 1))]


def test_a_vmi_that_is_another_nodes_is_none_of_ours() -> None:
    """What waited is not told, and if it is back, it begins anew."""
    scene = Tellers()
    scene.see(0.0, 1)
    scene.see(100.0, 0)
    scene.policy.observe(VMI, None, 100.5)
    scene.see(200.0, 0)
    assert scene.told(500.0) == []
    assert scene.policy.wake_at(500.0) is None


def test_a_vmi_that_goes_while_an_event_of_another_one_is_written() -> None:
    """It is none of ours any more, and nothing of it is told."""
    scene = Tellers()
    for sessions in (0, 1):
        for vmi in (VMI, OTHER_VMI):
            scene.policy.observe(vmi, desired(sessions), 0.0)
    due = scene.policy.take_due(1.0)
    first = next(due)
    scene.policy.observe(OTHER_VMI if first.vmi == VMI else VMI, None, 1.0)
    assert list(due) == []


def test_news_that_change_while_an_event_of_another_one_is_written_are_told_as_they_are() -> None:
    """Its viewer has gone again: that is not told as a visit that began."""
    scene = Tellers()
    for sessions in (0, 1):
        for vmi in (VMI, OTHER_VMI):
            scene.policy.observe(vmi, desired(sessions), 0.0)
    due = scene.policy.take_due(0.5)
    first = next(due)
    scene.policy.observe(OTHER_VMI if first.vmi == VMI else VMI, desired(0), 0.5)
    assert list(due) == []


def test_a_node_tells_a_burst_and_then_one_a_second() -> None:
    """Whoever has waited longest comes first; nobody is forgotten."""
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
    """So that a change of one need not look at all: its own patience, its own minute, and the node's bucket."""
    scene = Tellers(burst=1)
    scene.see(0.0, 0)
    scene.see(0.0, 0, OTHER_VMI)
    assert scene.policy.due(VMI, 0.0) is None
    scene.see(100.0, 1)
    assert scene.policy.due(VMI, 100.0) == 100.0
    scene.see(100.2, 1, OTHER_VMI)
    assert scene.policy.due(OTHER_VMI, 100.2) == 101.0
    scene.see(110.0, 0)
    assert scene.policy.due(VMI, 110.0) == 160.0
    scene.policy.observe(VMI, None, 110.0)
    assert scene.policy.due(VMI, 110.0) is None
