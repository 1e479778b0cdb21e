"""A status manager in virtual time with one publisher, and its metrics."""

from collections.abc import Mapping
from types import MappingProxyType

from prometheus_client.parser import text_string_to_metric_families

from handler_service.metrics.exposition import exposition
from handler_service.model import Assignment, Endpoint, Outcome, VmiId
from handler_service.publishing.policy import WritePolicy
from handler_service.publishing.scheduler import WriteScheduler
from handler_service.publishing.worker import PublishWorker
from handler_service.reports.entry import Observed, ServiceState
from handler_service.stats import ApiStats, RequestStats
from handler_service.status_manager import StatusManager
from servicestatus.rate_limit import TokenBucket
from servicestatus.v1 import sessions_pb2 as types
from tests.unit.handler.builders import VMI, WATCHING, endpoint, vnc
from tests.unit.handler.peer import MemoryPlace

Series = dict[str, float]


EVENTS = {("VNCSessionStarted", "written"): 4, ("VNCSessionStarted", "failed"): 0}


class Followed:
    """A list-watch that does nothing."""

    resource = "virtualmachineinstances"
    lists = 2
    watches = 3
    failing = True


class Scene:
    """One handler, on the node `n1`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.manager = StatusManager(15.0, lambda: self.now, {types.SERVICE_USB_REDIRECTION: 5.0})
        self.manager.set_opener(answers=True)
        scheduler = WriteScheduler(WritePolicy(), TokenBucket(99, 0.01), lambda cap: cap)
        self.worker = PublishWorker(MemoryPlace(), scheduler, self.manager.clock, self.manager.answered)
        self.manager.workers.append(self.worker)
        self.requests = RequestStats()
        self.exposition = exposition(
            self.manager, ApiStats(self.requests, [Followed(), Followed()], EVENTS), "n1", "9.9"
        )

    def add(self, vmi: VmiId = VMI) -> Endpoint:
        """A VMI of this node, with a socket."""
        made = endpoint(vmi.name, vmi)
        self.manager.assign(vmi, Assignment(owned=True))
        self.manager.add(made)
        return made

    def report(
        self,
        vmi: VmiId = VMI,
        sessions: int = 0,
        *,
        since: float | None = None,
        observed: Observed = WATCHING,
        others: Mapping[int, ServiceState] = MappingProxyType({}),
    ) -> None:
        """A new stream, and its snapshot; `others` are services other than VNC."""
        reports = self.manager.reports
        reports.opened(vmi.name, "run", "", self.now)
        reports.replace(vmi.name, 1, observed, {**vnc(sessions, since), **others}, self.now)

    def work(self, outcome: Outcome) -> None:
        """The place's next job ends like that."""
        scheduler = self.worker.scheduler
        wake = scheduler.wake_at()
        assert wake is not None
        self.now = max(self.now, wake)
        for job in scheduler.take_due(self.now, 1):
            if job.value is not None:
                self.worker.outcomes[outcome.kind] += 1
            scheduler.finished(job.vmi, outcome, self.now)

    def text(self) -> str:
        """What a scraper reads that asks for nothing in particular."""
        return self.exposition.render("")[0].decode()

    def series(self, name: str) -> Series:
        """The samples of this name, by their labels, which are in the order of the alphabet."""
        families = text_string_to_metric_families(self.text())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return {",".join(f"{key}={value}" for key, value in sorted(s.labels.items())): s.value for s in samples}
