"""Renders all metrics for one scrape, in the format that the scraper requests."""

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from handler_service.metrics.handler import ApiCollector, HandlerCollector
from handler_service.metrics.vmis import VmiCollector
from handler_service.stats import ApiStats
from handler_service.status_manager import StatusManager


class Exposition:
    """Holds all collectors of one handler in a separate registry."""

    def __init__(self, manager: StatusManager, api: ApiStats | None, node: str, version: str) -> None:
        """Outside a cluster, `node` is empty and `api` is None."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(VmiCollector(manager, node))
        self._registry.register(HandlerCollector(manager, version))
        if api is not None:
            self._registry.register(ApiCollector(api))
        ProcessCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics and their content type for a request's Accept header."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
