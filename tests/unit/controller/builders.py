"""Objects as an API server shows them to the controller."""

from handler_service.kube import companion as companions
from handler_service.kube.companion import Companion
from handler_service.kube.conditions import Detail
from handler_service.kube.leases import HandlerLease
from handler_service.model import PublishedValue, VmiId

WATCHING = Detail(True, "Watching", "", None, "n1")


def companion(name: str = "vm", *, node: str = "n1", uid: str = "u", version: int = 1, sessions: int = 1) -> Companion:
    """As a handler writes it."""
    vmi = VmiId("ns", name, uid)
    return read(vmi, companions.status(vmi, PublishedValue(sessions, WATCHING), (), 0.0), node, version)


def marked(before: Companion) -> Companion:
    """As the controller writes it."""
    patch = companions.marked(before, "why", 60.0)
    status = companions.status(before.vmi, before.value, (), 0.0) | patch["status"]
    return read(before.vmi, status, before.label, before.version + 1)


def read(vmi: VmiId, status: dict[str, object], node: str, version: int) -> Companion:
    """What the API server has of a status."""
    object_ = companions.manifest(vmi, node)
    object_["metadata"] |= {"uid": f"c-{vmi.uid}", "resourceVersion": str(version)}
    object_["status"] = {key: value for key, value in status.items() if value is not None}
    found = companions.parse(object_)
    assert found is not None
    return found


def lease(node: str = "n1", renewed: str = "1", publishes: str = "companion") -> HandlerLease:
    return HandlerLease(node, renewed, 30, frozenset({publishes}))
