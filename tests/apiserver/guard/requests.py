"""The requests that a handler sends, and the responses that more than one test expects."""

from typing import Any

from tests.cluster.objects import Object

# The VMI of most tests is on the first of these two nodes.
HERE, THERE = "guard-here", "guard-there"
OK, CREATED, FORBIDDEN, NOT_FOUND, CONFLICT, UNPROCESSABLE = 200, 201, 403, 404, 409, 422
NO_NODE = (FORBIDDEN, "the token names no node, only one that is bound to a pod does")

Patch = list[dict[str, Any]]


def status_patch(vmi: Object, node: str, sessions: int) -> Patch:
    """Return the patch that the publisher `vmi-status` sends."""
    proofs = [
        {"op": "test", "path": "/metadata/uid", "value": vmi["metadata"]["uid"]},
        {"op": "test", "path": "/status/nodeName", "value": node},
    ]
    field = {"path": "/status/serviceStatus"}
    if sessions:
        return [*proofs, {"op": "add", **field, "value": {"vncSessions": sessions}}]
    return [*proofs, {"op": "add", **field, "value": {}}, {"op": "remove", **field}]


def status_of(companion: Object, node: str, **fields: Any) -> Object:
    """Return the status that the publisher `companion` sends."""
    return {"nodeName": node, "vmiUID": companion["spec"]["vmiUID"], **fields}
