"""Builds families of samples for prometheus_client."""

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from handler_service.stats import Histogram

#: The values of the labels, in the labels' order, and the value of the sample.
Samples = Iterable[tuple[Sequence[str], float]]


def gauge(name: str, text: str, labels: Sequence[str], samples: Samples) -> GaugeMetricFamily:
    """Return a family of gauges: values that rise and fall."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def counter(name: str, text: str, labels: Sequence[str], samples: Samples) -> CounterMetricFamily:
    """Return a family of counters: values that only rise. prometheus_client appends `_total` to the name."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def histogram(
    name: str, text: str, labels: Sequence[str], samples: Mapping[tuple[str, ...], Histogram]
) -> HistogramMetricFamily:
    """Return a family of histograms, one for each combination of label values."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, one in samples.items():
        family.add_metric(values, _cumulative(one), one.sum)
    return family


def _cumulative(one: Histogram) -> list[tuple[str, float]]:
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, number in zip([*map(str, one.bounds), "+Inf"], one.counts, strict=True):
        total += number
        buckets.append((bound, total))
    return buckets
