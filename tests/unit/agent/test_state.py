"""What the edges share."""

from launcher_agent.sessions.report import Counters, Observation
from launcher_agent.state import State
from servicestatus.reasons import Reason
from tests.unit.agent.fakes import VirtualTime


def test_it_begins_with_nothing_observed() -> None:
    report = State(lambda: 7.0).report()
    assert report.observation == Observation(Reason.LIBVIRT_UNREACHABLE, "not connected yet", 7.0)
    assert report.counters == Counters()


def test_since_tells_when_the_reason_changed_and_not_when_its_words_did() -> None:
    time = VirtualTime()
    state = State(time.clock)
    time.now = 2000.0
    state.observe(Reason.LIBVIRT_UNREACHABLE, "still not")
    assert state.observation == Observation(Reason.LIBVIRT_UNREACHABLE, "still not", 1000.0)
    state.observe(Reason.WATCHING)
    assert state.observation == Observation(Reason.WATCHING, "", 2000.0)


def test_the_counters_of_a_report_stand_still() -> None:
    state = State(lambda: 7.0)
    state.stats.events_received = 3
    report = state.report()
    state.stats.events_received = 4
    assert report.counters.events_received == 3


def test_a_reader_is_woken_at_first_and_by_each_change_until_it_leaves() -> None:
    state = State(lambda: 7.0)
    with state.changes() as changed:
        assert changed.is_set()
        changed.clear()
        state.touch()
        assert changed.is_set()
        changed.clear()
    state.touch()
    assert not changed.is_set()
