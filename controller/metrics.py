"""The controller's metrics, written out for one scrape."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.decisions import Cause, Decisions, Verb
from controller.marker import Marker
from handler_service.kube.reflector import Reflector
from servicestatus.clock import Clock

_PREFIX: Final = "vmi_service_status_controller"
_CAUSES: Final = {
    Verb.MARK: tuple(Cause),
    Verb.REMOVE: (Cause.NO_VMI, Cause.NOT_PUBLISHED),
}
_OUTCOMES: Final = ("done", "superseded", "failed")


class ControllerCollector(Collector):
    """All metrics of one controller. Nothing is counted here: each number is read where it is known."""

    def __init__(
        self, decisions: Decisions, marker: Marker, followed: Sequence[Reflector], clock: Clock, version: str
    ) -> None:
        """`clock` is that of the decisions."""
        self._decisions = decisions
        self._marker = marker
        self._followed = followed
        self._clock = clock
        self._version = version

    def collect(self) -> Iterator[Metric]:
        away = len(self._decisions.away(self._clock()))
        yield _gauge("handlers_away", "Nodes with companions and without a handler that vouches for them.", away)
        yield _gauge("companions_marked", "Companions marked as not observed.", self._decisions.marked())
        yield _gauge("companions", "Companions in the cluster.", len(self._decisions.companions()))
        actions = CounterMetricFamily(
            f"{_PREFIX}_actions", "Companions marked and removed.", labels=["action", "cause", "outcome"]
        )
        for (verb, causes), outcome in product(_CAUSES.items(), _OUTCOMES):
            for cause in causes:
                number = self._marker.actions[verb, cause, outcome]
                actions.add_metric([verb.value, cause.value, outcome], number)
        yield actions
        failing = GaugeMetricFamily(f"{_PREFIX}_watch_failing", "1 while a watch does not work.", labels=["resource"])
        for one in self._followed:
            failing.add_metric([one.resource], float(one.failing))
        yield failing
        info = GaugeMetricFamily(f"{_PREFIX}_build_info", "The version that runs.", labels=["version"])
        info.add_metric([self._version], 1)
        yield info

    def describe(self) -> Iterable[Metric]:
        return ()


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", text, value=value)
