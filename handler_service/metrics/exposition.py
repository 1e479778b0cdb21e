"""Names the collectors of a handler."""

from handler_service.exposition import Exposition
from handler_service.metrics.handler import ApiCollector, HandlerCollector
from handler_service.metrics.vmis import VmiCollector
from handler_service.stats import ApiStats
from handler_service.status_manager import StatusManager


def exposition(manager: StatusManager, api: ApiStats | None, node: str, version: str) -> Exposition:
    """Return all metrics of one handler. Outside a cluster, `node` is empty and `api` is None."""
    of_api = [] if api is None else [ApiCollector(api)]
    return Exposition(VmiCollector(manager, node), HandlerCollector(manager, version), *of_api)
