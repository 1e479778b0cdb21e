"""What concerns the pair itself: `vmi_service_status_*`, a fixed number of series for each handler."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client.metrics_core import Metric

from handler_service.metrics.families import counter, gauge, histogram
from handler_service.model import OutcomeKind, Reason
from handler_service.publishing.item import PublisherState
from handler_service.publishing.policy import Change
from handler_service.publishing.worker import PublishWorker
from handler_service.reports.entry import EntryState
from handler_service.stats import ApiStats
from handler_service.status_manager import StatusManager
from servicestatus.v1 import session_report_service_pb2 as pb

_MESSAGES: Final = ("hello", "snapshot", "delta", "heartbeat", "goodbye", "unknown")
_RESYNC: Final = "RESYNC_REASON_"
#: How a VMI may stand with a place: as it should, waiting for its turn, or by what the last write ended with.
_PUBLISHED: Final = "published"
_PENDING: Final = "pending"
_STATES: Final = (
    _PUBLISHED,
    _PENDING,
    *(kind.value for kind in OutcomeKind if kind.value not in ("written", "unchanged")),
)


class HandlerCollector:
    """Collects them from the hub and its publications."""

    def __init__(self, manager: StatusManager, version: str) -> None:
        """`version` is the program's."""
        self._manager = manager
        self._version = version

    def collect(self) -> Iterator[Metric]:
        """All families, of this moment."""
        yield gauge(
            "vmi_service_status_build_info", "The handler's version, as a label.", ("version",), [((self._version,), 1)]
        )
        yield from self._vmis()
        yield from self._streams()
        yield from self._workers()
        yield histogram(
            "vmi_service_status_publish_delay_seconds",
            "From the moment that the handler knew of a value to the answer that showed it in place, by publisher and "
            "kind of change. By the handler's clock: what an event needs to the handler is not in it, and what a rule "
            "of spacing waits is.",
            ("publisher", "change"),
            {(one.name, change.name.lower()): one.delay(change) for one in self._manager.workers for change in Change},
        )

    def _vmis(self) -> Iterator[Metric]:
        reasons = Counter(desired.reason for desired in self._manager.desired_statuses().values())
        yield gauge(
            "vmi_service_status_vmis",
            "VMIs whose status this handler publishes, by the reason why they are observed, or are not.",
            ("reason",),
            (((reason.value,), reasons[reason]) for reason in Reason),
        )
        states = Counter(entry.state for entry in self._manager.entries())
        yield gauge(
            "vmi_service_status_endpoints",
            "Sockets that this handler serves, one for each launcher pod, by what it hears on them.",
            ("state",),
            (((state.value,), states[state]) for state in EntryState),
        )

    def _streams(self) -> Iterator[Metric]:
        stats = self._manager.stream_stats
        yield counter("vmi_service_status_streams", "Streams that agents have opened.", (), [((), stats.streams)])
        yield counter(
            "vmi_service_status_streams_refused",
            "Streams that ended with a status other than OK, by the status.",
            ("status",),
            (((status,), number) for status, number in stats.rejections.items()),
        )
        yield counter(
            "vmi_service_status_messages",
            "Messages that agents have sent, by their kind; deltas are changes.",
            ("kind",),
            (((kind,), stats.messages[kind]) for kind in _MESSAGES),
        )
        yield counter(
            "vmi_service_status_resyncs",
            "Snapshots that were asked for since an agent's message did not follow from those before, by the reason.",
            ("reason",),
            (
                ((name.removeprefix(_RESYNC).lower(),), stats.resyncs[number])
                for name, number in pb.ResyncReason.items()
                if number
            ),
        )
        yield counter(
            "vmi_service_status_lease_expiries",
            "Times that nothing was heard of an agent for a lease.",
            (),
            [((), stats.lease_expiries)],
        )
        yield counter(
            "vmi_service_status_unknown_items",
            "Messages, services and enum values that this handler is too old to know.",
            (),
            [((), stats.unknown_items)],
        )

    def _workers(self) -> Iterator[Metric]:
        places = self._manager.workers
        yield counter(
            "vmi_service_status_publishes",
            "Writes that have ended, by publisher and outcome.",
            ("publisher", "outcome"),
            (((one.name, kind.value), one.outcomes[kind]) for one in places for kind in OutcomeKind),
        )
        yield gauge(
            "vmi_service_status_publications",
            "VMIs by how their newest value stands with a publisher: published, pending, or what its last write ended "
            "with.",
            ("publisher", "state"),
            (((one.name, state), number) for one in places for state, number in _states(one).items()),
        )
        waiting = [(one.name, *one.waiting()) for one in places]
        yield gauge(
            "vmi_service_status_publish_queue_length",
            "VMIs whose newest value waits for its turn to be written, or is being written.",
            ("publisher",),
            (((name,), number) for name, number, _ in waiting),
        )
        yield gauge(
            "vmi_service_status_publish_queue_age_seconds",
            "For how long the first of them has waited; those whose last write failed are not among them.",
            ("publisher",),
            (((name,), age) for name, _, age in waiting),
        )


class ApiCollector:
    """Collects what the handler asked of its API server."""

    def __init__(self, api: ApiStats) -> None:
        """The numbers are read at each scrape."""
        self._api = api

    def collect(self) -> Iterator[Metric]:
        """All families, of this moment."""
        requests = self._api.requests
        yield counter(
            "vmi_service_status_api_requests",
            "Requests to the API server, by verb and the answer's HTTP status; none where there was no answer.",
            ("verb", "code"),
            requests.answers.items(),
        )
        yield histogram(
            "vmi_service_status_api_request_duration_seconds",
            "Until the API server's answer began, by verb; of a watch, its first byte.",
            ("verb",),
            {(verb,): one for verb, one in requests.latencies.items()},
        )
        lists: Counter[str] = Counter()
        watches: Counter[str] = Counter()
        failing: Counter[str] = Counter()
        for one in self._api.followed:
            lists[one.resource] += one.lists
            watches[one.resource] += one.watches
            failing[one.resource] += one.failing
        label = ("resource",)
        yield counter("vmi_service_status_lists", "Complete lists, by the kind of object.", label, _each(lists))
        yield counter("vmi_service_status_watches", "Watches begun, by the kind of object.", label, _each(watches))
        yield counter(
            "vmi_service_status_events",
            "Kubernetes events on VMIs, by reason and by whether the API server took them.",
            ("reason", "outcome"),
            self._api.events.items(),
        )
        yield gauge(
            "vmi_service_status_watches_failing",
            "Watches that cannot be taken up, so that what is known may be out of date, by the kind of object.",
            label,
            _each(failing),
        )


def _each(numbers: Counter[str]) -> Iterator[tuple[tuple[str], int]]:
    return (((name,), number) for name, number in numbers.items())


def _states(worker: PublishWorker) -> dict[str, int]:
    states = dict.fromkeys(_STATES, 0)
    for vmi in worker.vmis():
        states[_label(worker.state(vmi))] += 1
    return states


def _label(state: PublisherState) -> str:
    if state.state == pb.PUBLISH_STATE_PUBLISHED:
        return _PUBLISHED
    return _PENDING if state.failure is None else state.failure.value
