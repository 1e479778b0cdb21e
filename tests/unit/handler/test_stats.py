"""What the handler counts while it works: numbers that grow, and outlive what they were counted of."""

from collections import Counter

from handler_service.model import Outcome, OutcomeKind, PublishedValue
from handler_service.publishing.policy import Change
from handler_service.stats import Histogram, RequestStats
from servicestatus.v1 import session_report_service_pb2 as pb
from tests.unit.handler.builders import VMI, delta, desired, heartbeat, snapshot, unknown_arm
from tests.unit.handler.reports.test_protocol import Socket
from tests.unit.handler.simulation import Simulation


def test_a_bound_belongs_to_its_bucket() -> None:
    """Prometheus' `le` is "less or equal"; what is above all bounds is counted too."""
    histogram = Histogram([0.1, 1.0])
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.add(value)
    assert histogram.counts == [2, 1, 1]
    assert histogram.sum == 7.65


def test_a_request_without_an_answer_has_no_latency() -> None:
    """It would be the timeout, and hide how fast the server is."""
    stats = RequestStats()
    stats.answered("PATCH", 200, 0.004)
    stats.failed("PATCH")
    assert stats.answers == Counter({("PATCH", "200"): 1, ("PATCH", "none"): 1})
    assert stats.latencies["PATCH"].counts == [1, *[0] * 11]


# --- streams ---


def test_messages_and_resyncs_are_counted_by_kind() -> None:
    """What came and was dropped counts as well."""
    socket = Socket()
    stream = socket.open(snapshot(1), delta(2, 1, 0, 1), delta(9, 1, 0, 2), heartbeat(9), unknown_arm())
    socket.say(stream, snapshot(10, 1), delta(11, 1, 0, 7))
    stats = socket.reports.stats
    assert stats.messages == Counter(hello=1, snapshot=2, delta=3, heartbeat=1, unknown=1)
    assert stats.resyncs == Counter({pb.RESYNC_REASON_SEQUENCE_GAP: 1, pb.RESYNC_REASON_COUNT_MISMATCH: 1})
    assert (stats.streams, stats.unknown_items) == (1, 1)


def test_a_socket_that_is_gone_takes_nothing_with_it() -> None:
    """A counter that falls is read as a restart."""
    socket = Socket()
    socket.open(snapshot(1))
    socket.reports.expire(100.0)
    socket.reports.remove(socket.endpoint.id)
    assert (socket.reports.stats.streams, socket.reports.stats.lease_expiries) == (1, 1)


# --- delays ---


def holding(sessions: int) -> Simulation:
    sim = Simulation(place={VMI: sessions})
    sim.set_desired(desired(sessions))
    sim.run(0.0)
    return sim


def delays(sim: Simulation) -> dict[Change, tuple[int, float]]:
    """By change, how many, and the sum of their seconds."""
    found = {change: (sum(one.counts), round(one.sum, 3)) for change, one in sim.scheduler.delays.items()}
    return {change: numbers for change, numbers in found.items() if numbers[0]}


def test_a_delay_runs_from_what_is_known_to_the_answer() -> None:
    """A first viewer waits 20 ms, a fall one second; what is right already is no delay."""
    sim = holding(0)
    assert delays(sim) == {}
    sim.run(10.0)
    sim.set_desired(desired(1))
    sim.run(20.0)
    sim.set_desired(desired(0))
    sim.run(30.0)
    assert delays(sim) == {Change.FIRST_RISE: (1, 0.02), Change.FALL: (1, 1.0)}


def test_a_value_that_was_there_again_before_its_turn_is_no_delay() -> None:
    """A viewer who is back within the second: nothing was to be shown."""
    sim = holding(1)
    for at, sessions in ((10.0, 0), (10.5, 1), (20.0, 2)):
        sim.run(at)
        sim.set_desired(desired(sessions))
    sim.run(30.0)
    assert delays(sim) == {Change.RISE: (1, 0.3)}


def test_a_delay_goes_on_through_failures() -> None:
    """The value was not visible before the write that succeeded."""
    scheduler = holding(0).scheduler
    scheduler.set_desired(VMI, desired(1), 10.0)
    (job,) = scheduler.take_due(10.02, 1)
    assert scheduler.waiting(11.0) == (0, 0.0)  # it is being written
    scheduler.finished(job.vmi, Outcome(OutcomeKind.ERROR), 12.0)
    assert scheduler.waiting(13.0) == (0, 0.0)  # it waits, and not for its turn
    (read,) = scheduler.take_due(80.0, 1)
    scheduler.finished(read.vmi, Outcome(OutcomeKind.UNCHANGED, PublishedValue(0)), 80.0)
    wake = scheduler.wake_at()
    assert wake is not None
    (again,) = scheduler.take_due(wake, 1)
    scheduler.finished(again.vmi, Outcome(OutcomeKind.WRITTEN, PublishedValue(1)), 90.0)
    assert scheduler.delays[Change.FIRST_RISE].sum == 80.0


def test_what_waits_for_its_turn_is_told_with_its_age() -> None:
    """Not what is in place."""
    scheduler = holding(1).scheduler
    assert scheduler.waiting(5.0) == (0, 0.0)
    scheduler.set_desired(VMI, desired(2), 10.0)
    scheduler.set_desired(VMI, desired(3), 10.2)
    assert scheduler.waiting(10.25) == (1, 0.25)
