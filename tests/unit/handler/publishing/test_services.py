"""Each service of a VMI rises and falls by the same rules, by itself, and all share the writes of the VMI."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from handler_service.model import (
    DesiredStatus,
    Outcome,
    OutcomeKind,
    PublishedValue,
    Reason,
    ServiceStatus,
    ServiceValue,
    Watermark,
)
from handler_service.publishing.policy import WritePolicy
from handler_service.publishing.scheduler import WriteScheduler
from servicestatus.rate_limit import TokenBucket
from servicestatus.v1 import sessions_pb2 as types
from tests.unit.handler.builders import VMI, desired

USB, CONSOLE = types.SERVICE_USB_REDIRECTION, types.SERVICE_SERIAL_CONSOLE


def shown(status: DesiredStatus) -> Mapping[int, bool | None]:
    """Beside the number of a service stands whether it is observed; None where it is not watched."""
    found = {one.service: one for one in status.services}
    return {number: found[number].observed if number in found else None for number in (USB, CONSOLE)}


class Place:
    """A scheduler, and a publisher that takes each write at once."""

    def __init__(self, held: PublishedValue | None = None, services: tuple[ServiceStatus, ...] = ()) -> None:
        bucket = TokenBucket(256, 0.04)
        self.scheduler = WriteScheduler(
            WritePolicy(),
            bucket,
            lambda cap: cap,
            lambda status: status.observed,
            lambda value: not value.sessions and value.detail is True,
            services_shown=shown,
        )
        self.held = held or PublishedValue(0, True)
        self.writes: list[tuple[float, PublishedValue]] = []
        self.now = 0.0
        self.status = replace(desired(self.held.sessions), services=services)
        self._sequence = 1
        self.scheduler.set_desired(VMI, self.status, 0.0)
        self.run(0.0)

    def set(
        self,
        sessions: int | None = None,
        *,
        observed: bool = True,
        synced: bool = True,
        **services: ServiceStatus | None,
    ) -> None:
        """Replace VNC's number, if one is given, and the statuses of `usb` and `console`; None: not watched."""
        numbers = {"usb": USB, "console": CONSOLE}
        found = {one.service: one for one in self.status.services}
        for name, status in services.items():
            found.pop(numbers[name], None)
            if status is not None:
                found[numbers[name]] = status
        self._sequence += 1
        changed = desired(
            self.status.sessions if sessions is None else sessions,
            observed=observed,
            synced=synced,
            sequence=self._sequence,
        )
        self.status = replace(changed, services=tuple(one for _, one in sorted(found.items())))
        self.scheduler.set_desired(VMI, self.status, self.now)

    def run(self, until: float) -> None:
        """Let the time pass."""
        while True:
            for job in self.scheduler.take_due(self.now, 16):
                kind = OutcomeKind.UNCHANGED
                if job.value is not None:
                    kind, self.held = OutcomeKind.WRITTEN, job.value
                    self.writes.append((round(self.now, 6), job.value))
                self.scheduler.finished(VMI, Outcome(kind, self.held), self.now)
            due = self.scheduler.wake_at()
            if due is None or due > until:
                break
            self.now = max(self.now, due)
        self.now = max(self.now, until)

    @property
    def published(self) -> Watermark | None:
        return self.scheduler.published(VMI, "a")


def usb(sessions: int, *, observed: bool = True) -> ServiceStatus:
    reason = Reason.WATCHING if observed else Reason.QUERY_FAILED
    return ServiceStatus(USB, sessions, observed=observed, reason=reason)


def console(sessions: int) -> ServiceStatus:
    return ServiceStatus(CONSOLE, sessions, observed=True, reason=Reason.WATCHING)


def value(vnc: int, *services: tuple[int, int, bool | None], observed: bool = True) -> PublishedValue:
    return PublishedValue(vnc, observed, tuple(ServiceValue(*one) for one in services))


# --- the rules, for another service than VNC ---


def test_a_service_that_is_not_watched_costs_no_write() -> None:
    """Also for an object of the first release, which shows nothing of it."""
    place = Place()
    place.run(1000.0)
    assert place.writes == []


def test_the_first_device_is_written_after_20_ms_and_the_last_one_leaves_after_a_second() -> None:
    """The waits of VNC."""
    place = Place(services=(usb(0),))
    place.run(10.0)
    place.set(usb=usb(1))
    place.run(20.0)
    place.set(usb=usb(0))
    place.run(30.0)
    assert place.writes == [
        (0.3, value(0, (USB, 0, True))),
        (10.02, value(0, (USB, 1, True))),
        (21.0, value(0, (USB, 0, True))),
    ]


def test_unknown_lowers_no_number_of_a_service() -> None:
    """It is visible as unknown, and the number stays."""
    place = Place(value(0, (USB, 2, True)), (usb(2),))
    place.set(usb=usb(0, observed=False))
    place.run(10.0)
    assert place.held == value(0, (USB, 2, False))
    place.set(usb=usb(3, observed=False))
    place.run(20.0)
    assert place.held == value(0, (USB, 3, False))


def test_polling_that_is_turned_off_leaves_the_number_and_takes_the_claim() -> None:
    """The number is the last one known; the condition says that nothing is watched."""
    place = Place(value(0, (USB, 2, True), (CONSOLE, 0, True)), (usb(2), console(0)))
    place.set(usb=None, console=None)
    place.run(10.0)
    assert place.held == value(0, (USB, 2, None))


def test_a_handler_that_starts_lowers_no_number_before_the_agent_reports() -> None:
    """An agent has one lease for its first report."""
    place = Place(value(1, (USB, 2, True)), (usb(2),))
    place.set(0, observed=False, synced=False, usb=usb(0, observed=False))
    place.run(10.0)
    assert place.writes == []
    place.set(0, observed=False, synced=False, usb=usb(3, observed=False))
    place.run(20.0)
    assert place.held == value(1, (USB, 3, False))


# --- beside VNC ---


def test_a_takeover_of_the_screen_is_not_seen_while_a_device_is_attached() -> None:
    """The write for the device leaves VNC's number as it is."""
    place = Place(value(1, (USB, 0, True)), (usb(0),))
    place.run(10.0)
    place.set(2)
    place.run(10.04)
    place.set(usb=usb(1))
    place.run(10.08)
    place.set(1)
    place.run(20.0)
    assert place.writes == [(10.06, value(1, (USB, 1, True)))]


def test_a_viewer_that_is_back_within_a_second_was_never_gone_whatever_a_device_does() -> None:
    """And the ack says published only when the newest number of each service is."""
    place = Place(value(1, (USB, 0, True)), (usb(0),))
    place.run(10.0)
    place.set(0)
    before = place.published
    place.set(usb=usb(1))
    place.run(10.5)
    assert place.published == before
    place.set(1)
    place.run(20.0)
    assert place.writes == [(10.02, value(1, (USB, 1, True)))]
    assert place.published == Watermark("a", 1, 4)


def test_a_write_for_one_service_carries_each_other_change_that_has_waited_long_enough() -> None:
    """One write instead of two."""
    place = Place(value(1, (USB, 1, True)), (usb(1),))
    place.run(10.0)
    place.set(0, usb=usb(0))
    place.run(20.0)
    assert place.writes == [(11.0, value(0, (USB, 0, True)))]


def test_a_device_that_comes_and_goes_does_not_keep_a_viewer_who_left() -> None:
    """The wait of a service does not begin again with a write for another one."""
    place = Place(value(1, (USB, 0, True)), (usb(0),))
    place.run(10.0)
    place.set(0)
    for tenth in range(40):
        place.set(usb=usb(tenth % 3))
        place.run(place.now + 0.1)
    left = next(at for at, written in place.writes if written.sessions == 0)
    assert left <= 12.5  # the second of a fall, and at most the spacing after an early first rise


def test_a_withdrawn_zero_of_a_service_is_as_urgent_as_one_of_vnc() -> None:
    """A user may rely on it."""
    place = Place(value(0, (USB, 0, True)), (usb(0),))
    place.run(10.0)
    place.set(usb=usb(0, observed=False))
    place.run(20.0)
    assert place.writes == [(10.3, value(0, (USB, 0, False)))]


def test_an_object_that_shows_nothing_yet_gets_everything_with_its_first_device() -> None:
    """A companion that does not exist cannot be made with a condition of USB alone."""
    place = Place(PublishedValue(0, None), (usb(1),))
    place.run(10.0)
    assert place.writes == [(0.02, value(0, (USB, 1, True)))]


def test_a_document_of_a_former_handler_keeps_its_number_for_the_second_of_a_fall() -> None:
    """A restarted handler takes over the number without its detail."""
    place = Place(PublishedValue(2, None), (usb(1),))
    place.set(0)
    place.run(10.0)
    assert place.writes == [(0.02, value(2, (USB, 1, True))), (1.02, value(0, (USB, 1, True)))]


# --- whatever happens ---

STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.005, 0.03, 0.1, 0.35, 0.9, 1.1]),
        st.none() | st.tuples(st.integers(0, 3), st.booleans()),
        st.none() | st.tuples(st.integers(0, 3), st.booleans()),
    ),
    max_size=40,
)


@given(st.sampled_from([value(0, (USB, 0, True)), PublishedValue(2, None, (ServiceValue(USB, 1),))]), STEPS)
def test_each_service_keeps_its_rules_and_all_are_published_in_the_end(
    held: PublishedValue, steps: list[tuple[float, tuple[int, bool] | None, tuple[int, bool] | None]]
) -> None:
    """Unknown lowers nothing, writes are spaced, what rests is shown, and no object is half made."""
    place = Place(held, (usb(0),))
    for pause, vnc, device in steps:
        before, count = place.held, len(place.writes)
        sessions, observed = vnc or (place.status.sessions, place.status.observed)
        shown_usb = place.status.services[0] if device is None else usb(device[0], observed=device[1])
        place.set(sessions, observed=observed, usb=shown_usb)
        place.run(place.now + pause)
        for _, written in place.writes[count:]:
            (device_before,), (device_after,) = before.services, written.services
            assert written.detail is not None
            assert place.status.observed or written.sessions >= before.sessions
            assert place.status.services[0].observed or device_after.sessions >= device_before.sessions
            before = written
    times = [at for at, _ in place.writes]
    assert all(third - first >= 0.999 for first, third in zip(times, times[2:], strict=False))
    assert all(first <= second for first, second in pairwise(times))
    place.set(1, usb=usb(2))
    place.run(place.now + 10.0)
    assert place.held == value(1, (USB, 2, True))
    assert place.published == Watermark("a", 1, place._sequence)


@given(STEPS)
def test_vnc_is_written_at_the_same_moments_beside_a_service_that_rests(
    steps: list[tuple[float, tuple[int, bool] | None, tuple[int, bool] | None]],
) -> None:
    """The behaviour of the first release does not change."""
    alone, beside = Place(), Place(value(0, (USB, 1, True)), (usb(1),))
    for pause, vnc, _ in steps:
        for place in (alone, beside):
            sessions, observed = vnc or (place.status.sessions, place.status.observed)
            place.set(sessions, observed=observed)
            place.run(place.now + pause)
    assert [(at, one.sessions, one.detail) for at, one in beside.writes] == [
        (at, one.sessions, one.detail) for at, one in alone.writes
    ]
