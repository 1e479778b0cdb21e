"""Writes and reads the Lease of a node, which shows that the handler maintains its published values. Pure.

A published value stays in the cluster when its writer dies. So each handler renews one `coordination.k8s.io` Lease, and
the controller marks the companions of a node whose Lease expires.
"""

from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from handler_service.kube.companion import NODE_LABEL

API_VERSION: Final = "coordination.k8s.io/v1"
#: The publishers that a handler runs, separated by commas. Without the companion publisher it maintains no companions.
PUBLISHES: Final = "servicestatus.kubevirt.io/publishes"
#: Seconds between two renewals. Two may fail before the Lease expires.
RENEW_INTERVAL: Final = 10.0
#: Seconds from the last renewal until the Lease expires. The controller marks the values within 10 s after that, so a
#: value outlives its handler by at most 40 s.
DURATION: Final = 30


class HandlerLease(NamedTuple):
    """Holds a Lease as the API server returned it."""

    node: str
    #: Compared for equality only, because it is from the clock of another machine.
    renewed: str
    duration: float
    publishes: frozenset[str]


def name(node: str) -> str:
    """Return the Lease's name. It fits, because KubeVirt needs the node's name to fit into a label."""
    return f"handler-{node}"


def collection(namespace: str) -> str:
    """Return the path of all Leases of a namespace."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/leases"


def path(namespace: str, node: str) -> str:
    """Return the path of one node's Lease."""
    return f"{collection(namespace)}/{name(node)}"


def manifest(namespace: str, node: str, holder: str, publishes: list[str], now: float) -> dict[str, Any]:
    """Return the whole Lease, to create it or as a merge patch that renews it. `now` is wall time."""
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
    """Return the Lease in `object_`, or None if it is not that of a handler."""
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
            # With a longer one a value could outlive its handler by more than 40 s.
            duration=min(duration, DURATION) if isinstance(duration, int) and duration > 0 else DURATION,
            publishes=frozenset(filter(None, published.split(","))),
        )
    except (KeyError, TypeError, AttributeError):
        return None
