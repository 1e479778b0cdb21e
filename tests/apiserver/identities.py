"""The clients that write service statuses: the handler of a node, a token without a node, an administrator.

Requests are sent as they are written here, without a client library that retries or rephrases: a test sees the status,
reason and message that the handler's own client would see.
"""

import http.client
import json
import ssl
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from testbed.waiting import wait_until
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object, node, owned_by, pod
from tests.cluster.tools import REPOSITORY

BASE = REPOSITORY / "manifests" / "base"
NAMESPACE = "vmi-service-status"
ACCOUNT = "vmi-service-status-handler"
NODE_LABEL = "servicestatus.kubevirt.io/nodeName"

COMPANIONS = ("servicestatus.kubevirt.io/v1alpha1", "virtualmachineinstanceservicestatuses")
PLURALS = dict([("kubevirt.io/v1", "virtualmachineinstances"), ("events.k8s.io/v1", "events"), COMPANIONS])

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
# The slowest request takes a tenth of a second; a server that hangs must not hang the test.
TIMEOUT = 60.0


@dataclass(frozen=True)
class Answer:
    """What the API server answered: an object, or a Status with the reason why not."""

    code: int
    body: Object

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))

    @property
    def denial(self) -> tuple[int, str]:
        """Return the HTTP status and the message of an admission policy; RBAC's denials have no such message."""
        return self.code, self.message.partition("denied request: ")[2]

    def taken(self) -> Object:
        """Return the object of an admitted request."""
        assert self.code in (HTTPStatus.OK, HTTPStatus.CREATED), self.body
        return self.body


class User:
    """A client with a token."""

    def __init__(self, plane: ControlPlane, token: str) -> None:
        self._server = urlsplit(plane.url).netloc
        self._tls = ssl.create_default_context(cafile=plane.ca)
        self._token = token

    def request(self, method: str, path: str, body: object = None, *, content_type: str = JSON) -> Answer:
        code, text = self._send(method, path, body, content_type)
        return Answer(code, json.loads(text or b"{}"))

    def watch(self, path: str) -> tuple[int, list[str]]:
        """Return the status, and the types of the events until the server ends the watch: one line each, often none."""
        code, text = self._send("GET", path, None, JSON)
        return code, [str(json.loads(line).get("type")) for line in text.splitlines()]

    def _send(self, method: str, path: str, body: object, content_type: str) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(self._server, timeout=TIMEOUT, context=self._tls)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def get(self, thing: Object) -> Object:
        return self.request("GET", path_of(thing)).taken()

    def create(self, thing: Object) -> Answer:
        return self.request("POST", collection_of(thing), thing)

    def json_patch(self, thing: Object, patch: list[dict[str, Any]]) -> Answer:
        return self.request("PATCH", path_of(thing), patch, content_type=JSON_PATCH)

    def merge_patch(self, thing: Object, patch: Mapping[str, Any]) -> Answer:
        return self.request("PATCH", path_of(thing), patch, content_type=MERGE_PATCH)

    def take_over(self, companion: Object, node_name: str) -> Answer:
        """Send the first request of a handler after a migration to its node."""
        return self.merge_patch(companion, {"metadata": {"labels": {NODE_LABEL: node_name}}})

    def write_status(self, companion: Object, status: Mapping[str, Any], **metadata: Any) -> Answer:
        """Send the write of a handler's new value, with the resource version that it has seen."""
        seen = {"resourceVersion": companion["metadata"]["resourceVersion"]}
        patch = {"metadata": {**seen, **metadata}, "status": dict(status)}
        return self.request("PATCH", f"{path_of(companion)}/status", patch, content_type=MERGE_PATCH)

    def delete(self, thing: Object, *, uid: str | None = None) -> Answer:
        """Delete this object, not a new one of the same name."""
        return self.request("DELETE", path_of(thing), {"preconditions": {"uid": uid or thing["metadata"]["uid"]}})


class Handler(User):
    """The handler of one node: its token is bound to a pod there, like those that the kubelet gets for its pods."""

    def __init__(self, plane: ControlPlane, node_name: str) -> None:
        """The node and the pod must not exist; no kubelet runs them."""
        name = f"handler-{node_name}"
        plane.create(node(node_name))
        plane.create(pod(name, NAMESPACE, node_name=node_name, account=ACCOUNT))
        super().__init__(plane, plane.token(NAMESPACE, ACCOUNT, pod=name))
        self.node = node_name


def admin(plane: ControlPlane) -> User:
    """Return a client that neither RBAC nor a policy restricts."""
    config = json.loads(plane.kubeconfig.read_text())
    return User(plane, config["users"][0]["user"]["token"])


def collection_of(thing: Object) -> str:
    plural = PLURALS[thing["apiVersion"]]
    return f"/apis/{thing['apiVersion']}/namespaces/{thing['metadata']['namespace']}/{plural}"


def path_of(thing: Object) -> str:
    return f"{collection_of(thing)}/{thing['metadata']['name']}"


def companion_of(vmi: Object, node_name: str) -> Object:
    """Return the companion as the handler of that node creates it."""
    return owned_by(
        vmi,
        {
            "apiVersion": COMPANIONS[0],
            "kind": "VirtualMachineInstanceServiceStatus",
            "metadata": {
                "name": vmi["metadata"]["name"],
                "namespace": vmi["metadata"]["namespace"],
                "labels": {NODE_LABEL: node_name},
            },
            "spec": {"vmiUID": vmi["metadata"]["uid"]},
        },
    )


def event_about(vmi: Object, node_name: str) -> Object:
    """Return an event as the handler of that node creates it."""
    named = {key: vmi["metadata"].get(key, "") for key in ("namespace", "name", "uid")}
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": named["namespace"], "name": f"{named['name']}.{uuid.uuid4().hex[:16]}"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "type": "Normal",
        "reason": "VNCSessionStarted",
        "action": "ObservingSessions",
        "note": "Somebody has connected to the VM over VNC.",
        "reportingController": "servicestatus.kubevirt.io/handler",
        "reportingInstance": node_name,
        "regarding": {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", **named},
    }


def install(plane: ControlPlane) -> None:
    """Apply the base, and wait until its guards are in force, which takes up to two seconds; idempotent."""
    plane.apply(BASE)
    # On a VMI of no node: denied by the guards, and by nothing else.
    stray = User(plane, plane.token(NAMESPACE, ACCOUNT))
    vmi = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "spec": {}}
    probe = admin(plane).create({**vmi, "metadata": {"generateName": "probe-", "namespace": NAMESPACE}}).taken()
    denied_by(stray, "PATCH", path_of(probe), {}, MERGE_PATCH)
    for thing in (companion_of(probe, ""), event_about(probe, "nowhere")):
        denied_by(stray, "POST", collection_of(thing), thing)
    admin(plane).delete(probe)


def denied_by(user: User, method: str, path: str, body: object, content_type: str = JSON) -> str:
    """Return a policy's message about a request, as soon as a policy denies it; nothing is written in the meantime."""

    def attempt() -> str:
        return user.request(method, f"{path}?dryRun=All", body, content_type=content_type).denial[1]

    return wait_until(attempt, what=f"a policy denies {method} {path}", interval=0.1)
