"""Families of samples, in the form that prometheus_client writes out."""

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from handler_service.stats import Histogram

#: Values of the labels, in the labels' order, and the number.
Samples = Iterable[tuple[Sequence[str], float]]


def gauge(name: str, text: str, labels: Sequence[str], samples: Samples) -> GaugeMetricFamily:
    """Numbers that go up and down."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def counter(name: str, text: str, labels: Sequence[str], samples: Samples) -> CounterMetricFamily:
    """Numbers that only grow; `_total` is added to the name."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def histogram(
    name: str, text: str, labels: Sequence[str], samples: Mapping[tuple[str, ...], Histogram]
) -> HistogramMetricFamily:
    """Histograms by the values of the labels."""
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
