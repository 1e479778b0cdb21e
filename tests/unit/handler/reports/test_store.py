"""What each endpoint said, and what follows; virtual time."""

from dataclasses import dataclass, field

import pytest

from handler_service.model import DesiredStatus, Reason, VmiId, Watermark
from handler_service.reports.entry import EntryState, Observed
from handler_service.reports.store import ReportStore
from servicestatus.v1 import sessions_pb2 as types
from tests.unit.handler.builders import (
    NO_DOMAIN,
    OTHER_VMI,
    UNREACHABLE,
    VMI,
    WATCHING,
    endpoint,
    vnc,
)

LEASE = 15.0


@dataclass
class Book:
    """A report store with a lease of 15 s that records which VMIs it reported as changed."""

    changed: list[VmiId] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reports = ReportStore(LEASE, self.changed.append)

    def desired_status(self, vmi: VmiId = VMI) -> DesiredStatus:
        found = self.reports.desired_status(vmi)
        assert found is not None
        return found

    def report(self, id_: str, sessions: int, now: float = 0.0, since: float | None = None) -> int:
        """A new stream with its snapshot; returns the stream's number."""
        stream = self.reports.opened(id_, "run", "1.0", now)
        self.reports.replace(id_, 1, WATCHING, vnc(sessions, since), now)
        return stream


@pytest.fixture
def book() -> Book:
    """One endpoint, `a`, since 0."""
    made = Book()
    made.reports.add(endpoint("a"), 0.0)
    return made


# --- before the first report ---


def test_an_endpoint_waits_for_its_agent_for_a_lease(book: Book) -> None:
    """No report yet differs from no viewer connected, and from an expired lease."""
    desired = book.desired_status()
    assert (desired.sessions, desired.observed, desired.synced) == (0, False, False)
    assert desired.reason is Reason.AGENT_STARTING
    assert book.reports.next_expiry() == 15.0
    assert book.reports.expire(14.999) == []
    assert book.reports.expire(15.0) == [endpoint("a")]
    desired = book.desired_status()
    assert (desired.observed, desired.synced, desired.reason) == (False, True, Reason.NO_AGENT)


def test_hello_alone_settles_nothing(book: Book) -> None:
    """After a restart of the handler nothing is lowered before the snapshot is in, or the first lease is over."""
    book.reports.opened("a", "run", "1.0", 3.0)
    book.reports.renew_lease("a", 9.0)
    assert not book.desired_status().synced
    assert book.reports.next_expiry() == 15.0
    book.reports.replace("a", 1, WATCHING, vnc(1), 14.0)
    assert book.reports.next_expiry() == 29.0


def test_several_endpoints_together_have_no_more_sessions_than_the_companions_schema_allows(book: Book) -> None:
    book.reports.add(endpoint("b"), 0.0)
    book.report("a", 65_535)
    book.report("b", 1)
    assert book.desired_status().sessions == 65_535


def test_an_unknown_vmi_has_no_standing(book: Book) -> None:
    """The result is None, not a zero that a publisher could write."""
    assert book.reports.desired_status(OTHER_VMI) is None
    assert list(book.reports.entries(OTHER_VMI)) == []


# --- numbers ---


def test_a_snapshot_is_observed(book: Book) -> None:
    """After it the VMI is synced and has its watermark."""
    stream = book.report("a", 2)
    assert book.desired_status() == DesiredStatus(
        2, True, Reason.WATCHING, "", None, True, (Watermark("a", stream, 1),)
    )


def test_a_snapshot_replaces_everything(book: Book) -> None:
    """A service that is missing has no sessions."""
    book.report("a", 2)
    book.reports.replace("a", 5, WATCHING, {}, 1.0)
    assert book.desired_status().sessions == 0
    assert book.desired_status().watermarks[0].sequence == 5


def test_a_delta_changes_what_it_names(book: Book) -> None:
    """The observation stays where it is not set."""
    book.report("a", 2)
    book.reports.update("a", 2, None, vnc(3), 1.0)
    assert (book.desired_status().sessions, book.desired_status().reason) == (3, Reason.WATCHING)
    book.reports.update("a", 3, UNREACHABLE, {}, 2.0)
    desired = book.desired_status()
    assert (desired.sessions, desired.observed) == (3, False)
    assert (desired.reason, desired.message) == (Reason.LIBVIRT_UNREACHABLE, "connection refused")


def test_each_change_is_told(book: Book) -> None:
    """Adding, snapshot, delta, silence, removal; a message without news is none."""
    book.report("a", 1)
    book.reports.update("a", 2, None, vnc(2), 1.0)
    book.reports.renew_lease("a", 2.0)
    book.reports.expire(17.0)
    book.reports.remove("a")
    assert book.changed == [VMI] * 5


def test_a_lower_bound_is_not_observed(book: Book) -> None:
    """It may raise a published value and never lowers one, whatever the agent says of its sight."""
    book.reports.opened("a", "run", "1.0", 0.0)
    book.reports.replace("a", 1, WATCHING, vnc(1, accuracy=types.ACCURACY_LOWER_BOUND), 0.0)
    assert (book.desired_status().observed, book.desired_status().reason) == (False, Reason.LOWER_BOUND)
    book.reports.update("a", 2, None, vnc(1, accuracy=types.ACCURACY_UPPER_BOUND), 0.0)
    assert book.desired_status().observed


# --- lease ---


def test_any_message_keeps_the_lease(book: Book) -> None:
    """Snapshot, delta, and what has no news."""
    book.report("a", 1, now=10.0)
    assert book.reports.next_expiry() == 25.0
    book.reports.update("a", 2, None, vnc(1), 12.0)
    assert book.reports.next_expiry() == 27.0
    book.reports.renew_lease("a", 20.0)
    assert book.reports.next_expiry() == 35.0


def test_silence_for_a_lease_is_unknown_and_keeps_the_number(book: Book) -> None:
    """Unknown is not zero."""
    book.report("a", 2)
    assert book.reports.expire(15.0) == [endpoint("a")]
    desired = book.desired_status()
    assert (desired.sessions, desired.observed, desired.synced) == (2, False, True)
    assert (desired.reason, desired.message) == (Reason.AGENT_SILENT, "no report from the agent within its lease")
    assert book.reports.expire(100.0) == []
    assert book.reports.next_expiry() is None


def test_a_silent_agent_that_is_heard_again_counts_again(book: Book) -> None:
    """It was frozen: its stream and its sequence are as before."""
    book.report("a", 2)
    book.reports.expire(15.0)
    book.reports.renew_lease("a", 40.0)
    assert (book.desired_status().observed, book.desired_status().sessions) == (True, 2)
    assert book.reports.next_expiry() == 55.0


def test_a_new_stream_does_not_revive_the_value_of_an_older_one(book: Book) -> None:
    """Before its snapshot the state of the new agent is unknown."""
    book.report("a", 2)
    book.reports.expire(15.0)
    book.reports.opened("a", "another run", "1.0", 16.0)
    book.reports.renew_lease("a", 17.0)
    assert (book.desired_status().sessions, book.desired_status().observed) == (2, False)
    book.reports.replace("a", 1, WATCHING, vnc(0), 18.0)
    assert (book.desired_status().sessions, book.desired_status().observed) == (0, True)


def test_an_agent_that_never_spoke_is_not_revived_by_a_word_without_news(book: Book) -> None:
    """There is no value to revive."""
    book.reports.expire(15.0)
    book.reports.opened("a", "run", "1.0", 20.0)
    book.reports.renew_lease("a", 21.0)
    assert book.desired_status().reason is Reason.NO_AGENT


def test_a_closed_stream_holds_until_its_lease_ends(book: Book) -> None:
    """An agent that reconnects within the lease is not noticed outside."""
    stream = book.report("a", 2, now=1.0)
    book.reports.closed("a", stream)
    assert book.reports.entry("a").state is EntryState.DISCONNECTED
    assert (book.desired_status().observed, book.desired_status().sessions) == (True, 2)
    assert book.reports.next_expiry() == 16.0
    book.reports.expire(16.0)
    assert not book.desired_status().observed


# --- streams ---


def test_a_newer_stream_supersedes_the_older(book: Book) -> None:
    """The older one is not current; its end changes nothing."""
    first = book.report("a", 2)
    second = book.report("a", 1)
    assert not book.reports.is_current("a", first)
    assert book.reports.is_current("a", second)
    book.reports.closed("a", first)
    assert book.reports.entry("a").state is EntryState.REPORTING


def test_sequences_begin_anew_with_each_stream(book: Book) -> None:
    """What the older stream had accepted says nothing about the newer."""
    book.report("a", 2)
    book.reports.update("a", 2, None, vnc(3), 0.0)
    stream = book.reports.opened("a", "run", "1.0", 1.0)
    assert book.desired_status().watermarks == (Watermark("a", stream, 0),)
    assert book.desired_status().sessions == 3


def test_a_stream_number_is_never_used_twice(book: Book) -> None:
    """An endpoint that was removed and is back cannot take an old mark for its own."""
    before = book.report("a", 1)
    book.reports.remove("a")
    book.reports.add(endpoint("a"), 1.0)
    after = book.report("a", 1)
    assert after != before
    assert book.reports.entry("a").streams == 1


def test_no_stream_is_current_on_an_endpoint_that_is_gone(book: Book) -> None:
    """Its streams change nothing any more."""
    stream = book.report("a", 1)
    book.reports.remove("a")
    assert not book.reports.is_current("a", stream)
    book.reports.closed("a", stream)
    assert book.reports.desired_status(VMI) is None


# --- goodbye ---


def test_goodbye_is_unknown_at_once(book: Book) -> None:
    """There is no lease to wait for."""
    stream = book.report("a", 2)
    book.reports.goodbye("a", domain_ended=False, now=5.0)
    book.reports.closed("a", stream)
    desired = book.desired_status()
    assert (desired.sessions, desired.observed, desired.synced) == (2, False, True)
    assert (desired.reason, desired.message) == (Reason.AGENT_STOPPED, "the agent sent Goodbye")
    assert book.reports.next_expiry() is None


def test_nothing_follows_any_more_from_an_agent_that_fell_silent_or_left(book: Book) -> None:
    """Else a zero that waits to be published would count as published, because unknown keeps the higher number."""
    stream = book.report("a", 0)
    assert book.desired_status().watermarks == (Watermark("a", stream, 1),)
    book.reports.expire(20.0)
    assert book.desired_status().watermarks == (Watermark("a", stream, 0),)
    book.reports.renew_lease("a", 21.0)
    assert book.desired_status().watermarks == (Watermark("a", stream, 1),)
    book.reports.goodbye("a", domain_ended=False, now=22.0)
    assert book.desired_status().watermarks == (Watermark("a", stream, 0),)


def test_goodbye_after_the_domain_ended_is_a_proven_zero(book: Book) -> None:
    """No viewer can be connected to a VM that is gone, and no lease ends that."""
    book.report("a", 2)
    book.reports.goodbye("a", domain_ended=True, now=5.0)
    assert book.reports.expire(1_000.0) == []
    desired = book.desired_status()
    assert (desired.sessions, desired.observed, desired.reason) == (0, True, Reason.NO_DOMAIN)


def test_goodbye_keeps_since_when_nobody_is_connected(book: Book) -> None:
    """Where the agent has said it; where sessions ended with the domain the time is not known."""
    book.report("a", 0, since=1_000.0)
    book.reports.goodbye("a", domain_ended=True, now=5.0)
    assert book.desired_status().since == 1_000.0
    book.report("a", 1, since=1_000.0)
    book.reports.goodbye("a", domain_ended=True, now=6.0)
    assert book.desired_status().since is None


def test_an_agent_that_is_back_after_goodbye_reports_again(book: Book) -> None:
    """Restarts of an agent are a matter of seconds."""
    book.report("a", 2)
    book.reports.goodbye("a", domain_ended=True, now=5.0)
    book.report("a", 1, now=6.0)
    assert (book.desired_status().sessions, book.desired_status().observed) == (1, True)
    book.reports.goodbye("a", domain_ended=False, now=7.0)
    assert not book.desired_status().observed


# --- two endpoints of one VMI ---


@pytest.fixture
def pair(book: Book) -> Book:
    """A second launcher pod of the same VMI, `b`, as in a migration."""
    book.reports.add(endpoint("b"), 0.0)
    return book


def test_two_pods_of_one_vmi_add_up(pair: Book) -> None:
    """They are separate contributors."""
    a, b = pair.report("a", 1), pair.report("b", 2)
    assert pair.desired_status().sessions == 3
    assert pair.desired_status().watermarks == (Watermark("a", a, 1), Watermark("b", b, 1))


def test_one_pod_that_waits_unsettles_the_sum(pair: Book) -> None:
    """It may have viewers."""
    pair.report("a", 1)
    assert (pair.desired_status().sessions, pair.desired_status().synced) == (1, False)


def test_one_silent_pod_makes_the_sum_unknown_and_explains_it(pair: Book) -> None:
    """The message is that of the first endpoint that is not observed."""
    pair.report("a", 1)
    pair.report("b", 2)
    pair.reports.renew_lease("a", 10.0)
    assert pair.reports.expire(15.0) == [endpoint("b")]
    desired = pair.desired_status()
    assert (desired.sessions, desired.observed, desired.reason) == (3, False, Reason.AGENT_SILENT)


def test_a_pod_that_has_a_domain_explains_an_observed_sum(pair: Book) -> None:
    """After a migration the source has none."""
    pair.reports.opened("a", "run", "", 0.0)
    pair.reports.replace("a", 1, NO_DOMAIN, {}, 0.0)
    pair.report("b", 1)
    assert pair.desired_status().reason is Reason.WATCHING
    pair.reports.replace("b", 2, NO_DOMAIN, {}, 0.0)
    assert pair.desired_status().reason is Reason.NO_DOMAIN


def test_a_pod_that_is_gone_takes_its_sessions_with_it(pair: Book) -> None:
    """And the last one takes the VMI."""
    pair.report("a", 1)
    pair.report("b", 2)
    pair.reports.remove("b")
    assert pair.desired_status().sessions == 1
    assert pair.reports.vmis() == [VMI]
    pair.reports.remove("a")
    pair.reports.remove("a")
    assert pair.reports.vmis() == []


def test_vmis_are_ordered_and_apart(pair: Book) -> None:
    """By namespace and name."""
    pair.reports.add(endpoint("c", OTHER_VMI), 0.0)
    pair.report("c", 7)
    pair.report("a", 1)
    assert pair.reports.vmis() == [OTHER_VMI, VMI]
    assert pair.desired_status(OTHER_VMI).sessions == 7
    assert pair.desired_status(VMI).sessions == 1


# --- since when ---


@pytest.mark.parametrize(
    ("a", "b", "since"),
    [
        ((1, 100.0), (1, 200.0), 100.0),
        ((1, 100.0), (0, 50.0), 100.0),
        ((1, None), (1, 200.0), 200.0),
        ((1, None), (0, 50.0), None),
        ((0, 100.0), (0, 200.0), 200.0),
        ((0, 100.0), (0, None), None),
    ],
)
def test_since_is_what_can_be_proved(
    pair: Book, a: tuple[int, float | None], b: tuple[int, float | None], since: float | None
) -> None:
    """A viewer is connected since the first of them; none is connected since the last one left."""
    pair.report("a", a[0], since=a[1])
    pair.report("b", b[0], since=b[1])
    assert pair.desired_status().since == since


def test_an_observation_of_an_unknown_reason_stays_one(book: Book) -> None:
    """A newer agent may have reasons that this handler has no word for."""
    book.reports.opened("a", "run", "", 0.0)
    book.reports.replace("a", 1, Observed(False, Reason.UNKNOWN, "new"), vnc(1), 0.0)
    assert (book.desired_status().observed, book.desired_status().reason, book.desired_status().message) == (
        False,
        Reason.UNKNOWN,
        "new",
    )
