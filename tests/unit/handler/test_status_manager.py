"""Tests what triggers publications, which watchers are called, and what an ack contains. No sockets."""

import asyncio
from collections.abc import Hashable

import pytest

from handler_service.model import (
    Assignment,
    DesiredStatus,
    Outcome,
    OutcomeKind,
    PublishedValue,
    PublishProgress,
    Reason,
    Unserved,
    VmiId,
    Watermark,
)
from handler_service.publishing.policy import WritePolicy
from handler_service.publishing.scheduler import WriteScheduler
from handler_service.publishing.worker import PublishWorker
from handler_service.status_manager import StatusManager
from servicestatus.rate_limit import TokenBucket
from servicestatus.v1 import session_report_service_pb2 as pb
from testbed.waiting import wait_until_async
from tests.unit.handler.builders import OTHER_VMI, VMI, WATCHING, endpoint, vnc
from tests.unit.handler.peer import MemoryPlace

OURS = Assignment(owned=True)


class Scene:
    """A status manager in virtual time, with publishers whose jobs the test executes."""

    def __init__(self, places: int = 1) -> None:
        self.now = 100.0
        self.manager = StatusManager(15.0, lambda: self.now)
        for _ in range(places):
            scheduler = WriteScheduler(WritePolicy(), TokenBucket(99, 0.01), lambda cap: cap, self._detail)
            worker = PublishWorker(MemoryPlace(), scheduler, self.manager.clock, self.manager.answered)
            self.manager.workers.append(worker)
        self.changed: list[VmiId] = []
        self.manager.watch(self.changed.append)
        self.manager.assign(VMI, OURS)
        self.manager.add(endpoint("a"))

    def _detail(self, _: DesiredStatus) -> Hashable:
        return None

    def report(self, id_: str, sequence: int, sessions: int, *, fresh: bool = False) -> int:
        """A snapshot, on a stream of its own if it is the endpoint's first or `fresh`."""
        reports = self.manager.reports
        if fresh or not reports.entry(id_).stream:
            reports.opened(id_, "run", "", self.now)
        reports.replace(id_, sequence, WATCHING, vnc(sessions), self.now)
        return reports.entry(id_).stream

    def work(self, place: int, outcome: Outcome) -> None:
        """The place's next job ends like that."""
        scheduler = self.manager.workers[place].scheduler
        wake = scheduler.wake_at()
        assert wake is not None
        self.now = max(self.now, wake)
        for job in scheduler.take_due(self.now, 1):
            scheduler.finished(job.vmi, outcome, self.now)

    def progress(self, id_: str = "a") -> PublishProgress:
        return self.manager.progress(self.manager.reports.entry(id_).endpoint)


def read(sessions: int) -> Outcome:
    return Outcome(OutcomeKind.UNCHANGED, PublishedValue(sessions))


def written(sessions: int) -> Outcome:
    return Outcome(OutcomeKind.WRITTEN, PublishedValue(sessions))


# --- what an ack says ---


def test_nothing_is_published_before_the_place_was_read() -> None:
    """Pending: the handler has just started."""
    scene = Scene()
    scene.report("a", 1, 0)
    assert scene.progress() == PublishProgress(0, 0, pb.PUBLISH_STATE_PENDING, "")


def test_published_is_what_the_place_holds() -> None:
    """With the stream that it came by."""
    scene = Scene()
    stream = scene.report("a", 1, 1)
    scene.work(0, read(0))
    assert scene.progress().state == pb.PUBLISH_STATE_PENDING
    scene.work(0, written(1))
    assert scene.progress() == PublishProgress(stream, 1, pb.PUBLISH_STATE_PUBLISHED, "")


def test_with_two_places_the_slower_one_counts() -> None:
    """Published means: in every place that can hold it."""
    scene = Scene(places=2)
    stream = scene.report("a", 1, 1)
    for place in (0, 1):
        scene.work(place, read(0))
    scene.work(0, written(1))
    assert scene.progress() == PublishProgress(state=pb.PUBLISH_STATE_PENDING)
    scene.work(1, written(1))
    assert scene.progress() == PublishProgress(stream, 1, pb.PUBLISH_STATE_PUBLISHED, "")


def test_a_place_that_drops_the_field_does_not_count_beside_another() -> None:
    """The companion is the truth then."""
    scene = Scene(places=2)
    stream = scene.report("a", 1, 1)
    for place in (0, 1):
        scene.work(place, read(0))
    scene.work(0, written(1))
    scene.work(1, Outcome(OutcomeKind.PRUNED, PublishedValue(0), "dropped"))
    assert scene.progress() == PublishProgress(stream, 1, pb.PUBLISH_STATE_PUBLISHED, "")


def test_a_viewer_who_comes_back_is_published_at_once_beside_a_place_that_drops_the_field() -> None:
    """The other place is known to drop the field, so no acknowledgement waits ten minutes for its next try."""
    scene = Scene(places=2)
    stream = scene.report("a", 1, 1)
    for place in (0, 1):
        scene.work(place, read(0))
    scene.work(0, written(1))
    scene.work(1, Outcome(OutcomeKind.PRUNED, PublishedValue(0), "dropped"))
    scene.report("a", 2, 0)
    scene.work(0, written(0))
    scene.report("a", 3, 1)
    scene.work(0, written(1))
    assert scene.progress() == PublishProgress(stream, 3, pb.PUBLISH_STATE_PUBLISHED, "")


def test_a_place_that_drops_the_field_is_told_where_it_is_the_only_one() -> None:
    """Pruned is a state of its own, never a success."""
    scene = Scene()
    scene.report("a", 1, 1)
    scene.work(0, read(0))
    scene.work(0, Outcome(OutcomeKind.PRUNED, PublishedValue(0), "dropped"))
    assert (scene.progress().state, scene.progress().message) == (pb.PUBLISH_STATE_PRUNED, "dropped")


def test_a_failing_place_is_told_with_its_text() -> None:
    """Until it has worked again."""
    scene = Scene()
    scene.report("a", 1, 1)
    scene.work(0, read(0))
    scene.work(0, Outcome(OutcomeKind.FORBIDDEN, message="no permission"))
    assert scene.progress() == PublishProgress(state=pb.PUBLISH_STATE_FAILING, message="no permission")
    scene.work(0, read(0))
    assert scene.progress().state == pb.PUBLISH_STATE_FAILING
    scene.work(0, written(1))
    assert scene.progress().state == pb.PUBLISH_STATE_PUBLISHED


def test_a_vmi_that_is_not_ours_is_not_published() -> None:
    """Another node's handler does it."""
    scene = Scene()
    scene.manager.unassign(VMI)
    scene.report("a", 1, 1)
    assert scene.progress().state == pb.PUBLISH_STATE_NOT_OWNER
    assert scene.manager.workers[0].scheduler.vmis() == []


def test_without_a_place_nothing_is_published() -> None:
    """A handler that only watches."""
    assert Scene(places=0).progress().state == pb.PUBLISH_STATE_NOT_OWNER


def test_while_an_agent_is_awaited_nothing_is_called_published() -> None:
    """Of two pods one has reported: its 0 is not the VMI's number, and the published value is 3."""
    scene = Scene()
    scene.manager.add(endpoint("b"))
    scene.report("a", 1, 0)
    scene.work(0, read(3))
    assert scene.progress() == PublishProgress(state=pb.PUBLISH_STATE_PENDING)


def test_an_endpoint_that_is_back_takes_no_old_mark_for_its_own() -> None:
    """The place was seen to hold sequence 5 of a stream that is no more."""
    scene = Scene()
    scene.manager.add(endpoint("b"))
    scene.report("b", 1, 0)
    scene.report("a", 5, 1)
    scene.work(0, read(0))
    scene.work(0, written(1))
    assert scene.progress("a").sequence == 5
    scene.manager.remove("a")
    scene.manager.add(endpoint("a"))
    stream = scene.report("a", 3, 2)
    assert scene.progress("a").stream != stream


# --- which watchers are called ---


def test_streams_of_a_vmi_are_woken_by_an_answer() -> None:
    """Those of other VMIs sleep on."""
    scene = Scene()
    scene.manager.add(endpoint("c", OTHER_VMI))
    woken: list[str] = []
    for id_ in ("a", "c"):
        scene.manager.listen(id_, lambda id_=id_: woken.append(id_))  # type: ignore[misc]
    scene.manager.answered(VMI)
    assert woken == ["a"]


def test_who_stops_listening_is_not_woken_and_leaves_nothing() -> None:
    """Streams come and go for months."""
    scene = Scene()
    woken: list[int] = []

    def wake() -> None:
        woken.append(1)

    scene.manager.listen("a", wake)
    scene.manager.unlisten("a", wake)
    scene.manager.unlisten("a", wake)
    scene.manager.answered(VMI)
    assert woken == []
    assert scene.manager._streams == {}


def test_watchers_are_told_of_changes_and_answers_until_they_stop() -> None:
    """Each with the VMI."""
    scene = Scene()
    scene.changed.clear()
    scene.report("a", 1, 1)
    scene.manager.answered(OTHER_VMI)
    assert scene.changed == [VMI, OTHER_VMI]
    scene.manager.unwatch(scene.changed.append)
    scene.report("a", 2, 2)
    assert scene.changed == [VMI, OTHER_VMI]


# --- VMIs ---


def test_a_vmi_that_ended_for_good_is_zero() -> None:
    """Whatever its agents said last."""
    scene = Scene()
    scene.report("a", 1, 2)
    scene.manager.assign(VMI, Assignment(owned=True, final=True))
    desired = scene.manager.desired_status(VMI)
    assert desired is not None
    assert (desired.sessions, desired.observed, desired.synced) == (0, True, True)


def test_an_assignment_that_says_nothing_new_changes_nothing() -> None:
    """A watch repeats itself."""
    scene = Scene()
    scene.changed.clear()
    scene.manager.assign(VMI, OURS)
    scene.manager.unassign(OTHER_VMI)
    assert scene.changed == []


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (OutcomeKind.CONFLICT, pb.PUBLISH_STATE_FAILING),
        (OutcomeKind.REVERTED, pb.PUBLISH_STATE_FAILING),
        (OutcomeKind.GONE, pb.PUBLISH_STATE_FAILING),
        (OutcomeKind.ERROR, pb.PUBLISH_STATE_FAILING),
        (OutcomeKind.PRUNED, pb.PUBLISH_STATE_PRUNED),
    ],
)
def test_no_failure_is_taken_for_a_success(kind: OutcomeKind, state: "pb.PublishState") -> None:
    """Each has its state."""
    scene = Scene()
    scene.report("a", 1, 1)
    scene.work(0, read(0))
    scene.work(0, Outcome(kind, PublishedValue(0), "why"))
    assert scene.manager.workers[0].state(VMI) == (state, kind, "why")
    assert scene.manager.workers[0].scheduler.published(VMI, "a") != Watermark("a", 1, 1)


# --- leases ---


@pytest.mark.parametrize("lease", [0.05, 0.2])
async def test_a_lease_ends_in_time_even_if_it_began_while_the_hub_slept(lease: float) -> None:
    """Not only at the status manager's next wakeup."""
    loop = asyncio.get_running_loop()
    manager = StatusManager(lease, loop.time)
    task = asyncio.create_task(manager.run())
    await asyncio.sleep(lease / 2)
    began = loop.time()
    manager.assign(VMI, OURS)
    manager.add(endpoint("a"))
    await wait_until_async(
        lambda: manager.desired_status(VMI), lambda found: found is not None and found.synced, what="the lease ends"
    )
    assert loop.time() - began >= lease
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_vmi_without_any_endpoint_is_told_as_such_once_after_a_lease() -> None:
    """Its pod may have no agent at all."""
    manager = StatusManager(0.05, asyncio.get_running_loop().time)
    changed: list[VmiId] = []
    manager.watch(changed.append)
    task = asyncio.create_task(manager.run())
    manager.assign(VMI, OURS)
    desired = manager.desired_status(VMI)
    assert desired is not None
    assert not desired.synced
    await wait_until_async(
        lambda: manager.desired_status(VMI), lambda found: found is not None and found.synced, what="the lease ends"
    )
    await wait_until_async(lambda: len(changed), lambda times: times == 2, what="the watcher is called")
    await asyncio.sleep(0.2)
    assert changed == [VMI, VMI]
    desired = manager.desired_status(VMI)
    assert desired is not None
    assert (desired.observed, desired.reason) == (False, Reason.NO_AGENT)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_socket_that_cannot_be_had_is_told_with_its_reason() -> None:
    """And forgotten, when it can be had. What was published stays: nothing is known."""
    manager = StatusManager(0.0, lambda: 7.0)
    manager.assign(VMI, OURS)
    changed: list[VmiId] = []
    manager.watch(changed.append)
    refused = Unserved(Reason.SOCKET_REFUSED, "it is a symlink")
    manager.set_unserved(VMI, "a", refused)
    manager.set_unserved(VMI, "a", refused)
    desired = manager.desired_status(VMI)
    assert desired is not None
    assert (desired.observed, desired.reason, desired.message) == (False, Reason.SOCKET_REFUSED, "it is a symlink")
    manager.set_unserved(VMI, "a", None)
    manager.set_unserved(VMI, "a", None)
    desired = manager.desired_status(VMI)
    assert desired is not None
    assert (desired.observed, desired.reason, desired.message) == (False, Reason.NO_AGENT, "")
    assert changed == [VMI, VMI]


def test_a_pod_that_is_not_served_keeps_the_others_from_proving_a_zero() -> None:
    """Their number stays, since it may only rise; too many pods explain more than an agent that is silent."""
    scene = Scene()
    scene.report("a", 1, 1)
    scene.manager.set_unserved(VMI, "b", Unserved(Reason.SOCKET_REFUSED, "it is a symlink"))
    desired = scene.manager.desired_status(VMI)
    assert desired is not None
    assert (desired.sessions, desired.observed, desired.reason) == (1, False, Reason.SOCKET_REFUSED)
    scene.manager.set_unserved(VMI, "", Unserved(Reason.TOO_MANY_PODS))
    desired = scene.manager.desired_status(VMI)
    assert desired is not None
    assert (desired.sessions, desired.observed, desired.reason) == (1, False, Reason.TOO_MANY_PODS)
    for pod in ("b", ""):
        scene.manager.set_unserved(VMI, pod, None)
    desired = scene.manager.desired_status(VMI)
    assert desired is not None
    assert (desired.sessions, desired.observed, desired.reason) == (1, True, Reason.WATCHING)
