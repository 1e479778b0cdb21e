"""Collects `vmi_service_status_*`, the metrics of agents and handler: a fixed number of series for each handler."""

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
#: The states of a VMI at one publisher: published, pending, or the outcome of the last write if that failed.
_PUBLISHED: Final = "published"
_PENDING: Final = "pending"
_STATES: Final = (
    _PUBLISHED,
    _PENDING,
    *(kind.value for kind in OutcomeKind if kind.value not in ("written", "unchanged")),
)


class HandlerCollector:
    """Collects the metrics from the status manager and its publish workers."""

    def __init__(self, manager: StatusManager, version: str) -> None:
        """`version` is the version of the handler."""
        self._manager = manager
        self._version = version

    def collect(self) -> Iterator[Metric]:
        """Yield all families with their current values."""
        yield gauge(
            "vmi_service_status_build_info", "The handler's version, as a label.", ("version",), [((self._version,), 1)]
        )
        yield from self._vmis()
        yield from self._streams()
        yield from self._workers()
        yield histogram(
            "vmi_service_status_publish_delay_seconds",
            "Time from the moment that the handler had a value until the response that confirmed it, by publisher and "
            "kind of change. By the handler's clock: the way of an event to the handler is not included, and the "
            "delay by the write policy is.",
            ("publisher", "change"),
            {(one.name, change.name.lower()): one.delay(change) for one in self._manager.workers for change in Change},
        )

    def _vmis(self) -> Iterator[Metric]:
        reasons = Counter(desired.reason for desired in self._manager.desired_statuses().values())
        yield gauge(
            "vmi_service_status_vmis",
            "VMIs whose status this handler publishes, by the reason why they are observed or not observed.",
            ("reason",),
            (((reason.value,), reasons[reason]) for reason in Reason),
        )
        states = Counter(entry.state for entry in self._manager.entries())
        yield gauge(
            "vmi_service_status_endpoints",
            "Sockets that this handler serves, one for each launcher pod, by the state of the agent's reports.",
            ("state",),
            (((state.value,), states[state]) for state in EntryState),
        )
        answers = self._manager.opener_answers
        yield gauge(
            "vmi_service_status_opener_up",
            "Whether the opener, which opens the sockets of launcher pods, answered the last request.",
            (),
            [] if answers is None else [((), int(answers))],
        )

    def _streams(self) -> Iterator[Metric]:
        stats = self._manager.stream_stats
        yield counter("vmi_service_status_streams", "Streams that agents have opened.", (), [((), stats.streams)])
        yield counter(
            "vmi_service_status_streams_refused",
            "Streams that ended with a status other than OK, by status.",
            ("status",),
            (((status,), number) for status, number in stats.rejections.items()),
        )
        yield counter(
            "vmi_service_status_messages",
            "Messages that agents have sent, by kind; a delta is a change.",
            ("kind",),
            (((kind,), stats.messages[kind]) for kind in _MESSAGES),
        )
        yield counter(
            "vmi_service_status_resyncs",
            "Snapshots that the handler requested because a message did not continue an agent's sequence, by reason.",
            ("reason",),
            (
                ((name.removeprefix(_RESYNC).lower(),), stats.resyncs[number])
                for name, number in pb.ResyncReason.items()
                if number
            ),
        )
        yield counter(
            "vmi_service_status_lease_expiries",
            "Leases that expired because an agent sent no report.",
            (),
            [((), stats.lease_expiries)],
        )
        yield counter(
            "vmi_service_status_unknown_items",
            "Messages, services and enum values that this version of the handler does not know.",
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
            "VMIs by publisher and the state of their newest value: published, pending, or the outcome of a last write "
            "that failed.",
            ("publisher", "state"),
            (((one.name, state), number) for one in places for state, number in _states(one).items()),
        )
        waiting = [(one.name, *one.waiting()) for one in places]
        yield gauge(
            "vmi_service_status_publish_queue_length",
            "VMIs whose newest value waits to be written or is being written.",
            ("publisher",),
            (((name,), number) for name, number, _ in waiting),
        )
        yield gauge(
            "vmi_service_status_publish_queue_age_seconds",
            "How long the oldest of the waiting values has waited; values whose last write failed are not included.",
            ("publisher",),
            (((name,), age) for name, _, age in waiting),
        )


class ApiCollector:
    """Collects the metrics of the handler's requests to the API server."""

    def __init__(self, api: ApiStats) -> None:
        """`api` is read at each scrape."""
        self._api = api

    def collect(self) -> Iterator[Metric]:
        """Yield all families with their current values."""
        requests = self._api.requests
        yield counter(
            "vmi_service_status_api_requests",
            "Requests to the API server, by verb and HTTP status of the response; none if there was no response.",
            ("verb", "code"),
            requests.answers.items(),
        )
        yield histogram(
            "vmi_service_status_api_request_duration_seconds",
            "Time until the API server's response began, by verb; for a watch, until its first byte.",
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
        yield counter("vmi_service_status_lists", "Complete lists, by kind of object.", label, _each(lists))
        yield counter("vmi_service_status_watches", "Watches started, by kind of object.", label, _each(watches))
        yield counter(
            "vmi_service_status_events",
            "Kubernetes events about VMIs, by reason and by whether the API server accepted them.",
            ("reason", "outcome"),
            self._api.events.items(),
        )
        yield gauge(
            "vmi_service_status_watches_failing",
            "Watches that cannot be established, so that the handler's data may be out of date, by kind of object.",
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
