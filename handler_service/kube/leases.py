"""The Lease by which the handler of a node vouches for what it has published: its content, and how to read it. Pure.

A value in the cluster stays there when its writer dies. So each handler renews one `coordination.k8s.io` Lease, and the
controller marks the companions of a node whose Lease expires.
"""

from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from handler_service.kube.companion import NODE_LABEL

API_VERSION: Final = "coordination.k8s.io/v1"
#: Says which publishers a handler runs, separated by commas: a handler that writes no companions vouches for none.
PUBLISHES: Final = "servicestatus.kubevirt.io/publishes"
#: Seconds between two renewals: two may fail before the third is too late.
RENEW_INTERVAL: Final = 10.0
#: Seconds after the last renewal until the Lease expires. With the ten seconds that the controller has to react, a
#: value outlives its handler by 40 s at most.
DURATION: Final = 30


class HandlerLease(NamedTuple):
    """A Lease as the API server has it."""

    node: str
    #: Compared for equality only: the clock of another machine.
    renewed: str
    duration: float
    publishes: frozenset[str]


def name(node: str) -> str:
    """The Lease's name. A node's name fits into a label, which KubeVirt sees to, so this fits into a name."""
    return f"handler-{node}"


def collection(namespace: str) -> str:
    """The path of all Leases of a namespace."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/leases"


def path(namespace: str, node: str) -> str:
    """The path of one node's Lease."""
    return f"{collection(namespace)}/{name(node)}"


def manifest(namespace: str, node: str, holder: str, publishes: list[str], now: float) -> dict[str, Any]:
    """The whole Lease, to create it or as a merge patch that renews it. `now` is wall time."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Lease",
        "metadata": {
            "namespace": namespace,
            "name": name(node),
            "labels": {NODE_LABEL: node},
            "annotations": {PUBLISHES: ",".join(publishes)},
        },
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": DURATION,
            "renewTime": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }


def parse(object_: Any) -> HandlerLease | None:
    """Read a Lease back; None when it is not that of a handler."""
    try:
        metadata, spec = object_["metadata"], object_.get("spec") or {}
        node = metadata["labels"][NODE_LABEL]
        if metadata["name"] != name(node):
            return None
        duration = spec.get("leaseDurationSeconds")
        published = (metadata.get("annotations") or {}).get(PUBLISHES, "")
        return HandlerLease(
            node=node,
            renewed=str(spec.get("renewTime", "")),
            # A longer one would let a value outlive its handler by more than is promised.
            duration=min(duration, DURATION) if isinstance(duration, int) and duration > 0 else DURATION,
            publishes=frozenset(filter(None, published.split(","))),
        )
    except (KeyError, TypeError, AttributeError):
        return None
