"""A hub in virtual time with one place, and what it tells Prometheus."""

from prometheus_client.parser import text_string_to_metric_families

from handler_service.metrics.exposition import Exposition
from handler_service.model import Assignment, Endpoint, Outcome, VmiId
from handler_service.publishing.policy import Spacing
from handler_service.publishing.scheduler import Clockwork
from handler_service.publishing.worker import Publication
from handler_service.reports.store import Observed
from handler_service.stats import ApiTally, RequestTally
from handler_service.status_manager import Hub
from servicestatus.rate_limit import TokenBucket
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
        self.hub = Hub(15.0, lambda: self.now)
        clockwork = Clockwork(Spacing(), TokenBucket(99, 0.01), lambda cap: cap)
        self.publication = Publication(MemoryPlace(), clockwork, self.hub.clock, self.hub.answered)
        self.hub.publications.append(self.publication)
        self.requests = RequestTally()
        self.exposition = Exposition(self.hub, ApiTally(self.requests, [Followed(), Followed()], EVENTS), "n1", "9.9")

    def add(self, vmi: VmiId = VMI) -> Endpoint:
        """A VMI of this node, with a socket."""
        made = endpoint(vmi.name, vmi)
        self.hub.assign(vmi, Assignment(owned=True))
        self.hub.add(made)
        return made

    def report(
        self, vmi: VmiId = VMI, sessions: int = 0, *, since: float | None = None, observed: Observed = WATCHING
    ) -> None:
        """A new stream, and its snapshot."""
        ledger = self.hub.ledger
        ledger.opened(vmi.name, "run", "", self.now)
        ledger.replace(vmi.name, 1, observed, vnc(sessions, since), self.now)

    def work(self, outcome: Outcome) -> None:
        """The place's next job ends like that."""
        clockwork = self.publication.clockwork
        wake = clockwork.wake_at()
        assert wake is not None
        self.now = max(self.now, wake)
        for job in clockwork.take_due(self.now, 1):
            if job.shown is not None:
                self.publication.outcomes[outcome.kind] += 1
            clockwork.finished(job.vmi, outcome, self.now)

    def text(self) -> str:
        """What a scraper reads that asks for nothing in particular."""
        return self.exposition.render("")[0].decode()

    def series(self, name: str) -> Series:
        """The samples of this name, by their labels, which are in the order of the alphabet."""
        families = text_string_to_metric_families(self.text())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return {",".join(f"{key}={value}" for key, value in sorted(s.labels.items())): s.value for s in samples}
