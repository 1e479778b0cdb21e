"""The webhook's metrics, written out for one scrape."""

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from handler_service.kube.reflector import Reflector
from injection_webhook.certificate import ServingCertificate
from injection_webhook.review import OUTCOMES
from injection_webhook.stats import Stats
from injection_webhook.template import Template

_PREFIX: Final = "vmi_service_status_webhook"


class WebhookCollector(Collector):
    """All metrics of one webhook. Nothing is counted here: each number is read where it is known."""

    def __init__(
        self, stats: Stats, certificate: ServingCertificate, template: Template, followed: Reflector, version: str
    ) -> None:
        self._stats = stats
        self._certificate = certificate
        self._template = template
        self._followed = followed
        self._version = version

    def collect(self) -> Iterator[Metric]:
        reviews = CounterMetricFamily(f"{_PREFIX}_reviews", "Pods that were reviewed.", labels=["result", "reason"])
        for outcome in OUTCOMES:
            reviews.add_metric([outcome.result, outcome.reason], self._stats.reviews[outcome])
        yield reviews
        # Many more than reviews: the API server does not accept the certificate.
        yield _counter("handshakes", "TLS handshakes that were begun.", self._certificate.handshakes)
        yield _counter("certificate_loads", "Certificates that were loaded.", self._certificate.loads)
        # 0 while there is none: an alert on the time that is left then fires as well.
        ends = self._certificate.validity.ends if self._certificate.validity else 0
        yield _gauge("certificate_expiry_timestamp_seconds", "When the certificate that is served expires.", ends)
        present = float(self._template.current is not None)
        yield _gauge("template_present", "1 while the LauncherAgentTemplate is there.", present)
        yield _gauge(
            "watch_failing", "1 while the LauncherAgentTemplate cannot be followed.", float(self._followed.failing)
        )
        info = GaugeMetricFamily(f"{_PREFIX}_build_info", "The version that runs.", labels=["version"])
        info.add_metric([self._version], 1)
        yield info

    def describe(self) -> Iterable[Metric]:
        return ()


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"{_PREFIX}_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", text, value=value)
