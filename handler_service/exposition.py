"""Renders all metrics of one program for one scrape, in the format that the scraper requests."""

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector


class Exposition:
    """Holds the collectors of one program in a separate registry, and adds those of its process."""

    def __init__(self, *collectors: Collector) -> None:
        """Nothing is counted here: collectors read each number where it is known."""
        self._registry = CollectorRegistry(auto_describe=False)
        for collector in collectors:
            self._registry.register(collector)
        ProcessCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics and their content type for a request's Accept header."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
