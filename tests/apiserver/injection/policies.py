"""The policies of manifests/components in an API server, for as long as a test needs them."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from testbed.waiting import wait_until
from tests.apiserver.client import ApiError, Client
from tests.apiserver.identities import BASE
from tests.apiserver.injection.pods import Cluster, agents_of
from tests.apiserver.webhooks import Webhook
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object
from tests.cluster.tools import REPOSITORY

COMPONENTS = REPOSITORY / "manifests" / "components"
POLICIES = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies"
BINDINGS = POLICIES.replace("policies", "policybindings")
TEMPLATES = "/apis/servicestatus.kubevirt.io/v1alpha1/namespaces/vmi-service-status/launcheragenttemplates"
TEMPLATE = f"{TEMPLATES}/vmi-service-status-launcher-agent"
#: Seconds between two looks. A policy is in force within 2 s after it was applied, and out of force as soon.
IN_FORCE = 0.05


def built(plane: ControlPlane, folder: Path, component: str) -> list[Object]:
    """Return the component's objects and the template, as `kubectl kustomize` builds them."""
    path = os.path.relpath(COMPONENTS / component, folder)
    (folder / "kustomization.yaml").write_text(json.dumps({"components": [path]}))
    template = yaml.safe_load((BASE / "agent-template.yaml").read_text())
    return [template, *yaml.safe_load_all(plane.kubectl("kustomize", folder))]


class Injection:
    """A policy of this project while it is in force."""

    def __init__(
        self, plane: ControlPlane, client: Client, objects: list[Object], probe: Object, spared: Object
    ) -> None:
        """`probe` gets the agent by this policy; `spared` does not, but may get it by the former policy."""
        self._plane = plane
        self._client = client
        self._objects = objects
        self._probe = probe
        self._spared = spared
        self._cluster = Cluster(client, "default")

    def _injects(self) -> bool:
        return bool(agents_of(self._cluster.created(self._probe)))

    def _in_force(self) -> bool:
        # Policy and binding are cached separately: for a moment a new binding may refer to a former policy.
        return self._injects() and not agents_of(self._cluster.created(self._spared))

    def __enter__(self) -> None:
        apply(self._plane, self._objects)
        # Denied with the reason until the template is seen, or for as long as it is wrong.
        wait_until(self._in_force, what="pods are injected", interval=IN_FORCE, retry_on=(ApiError,))

    def __exit__(self, *_: object) -> None:
        """A policy that another one replaces must not be taken for it."""
        self._plane.kubectl("delete", "--filename=-", "--ignore-not-found", input=as_list(self._objects))
        wait_until(self._injects, lambda seen: not seen, what="pods are injected no more", interval=IN_FORCE)


def pointed(objects: list[Object], webhook: Webhook) -> list[Object]:
    """The template, and the configuration that asks this process."""
    kept = [thing for thing in objects if thing["kind"] in ("LauncherAgentTemplate", "MutatingWebhookConfiguration")]
    return [*map(webhook.pointed_to, kept[1:]), *kept[:1]]


def rights_in(objects: list[Object]) -> list[Object]:
    """Who the webhook is, and what it may read."""
    return [thing for thing in objects if thing["kind"] in ("ServiceAccount", "Role", "RoleBinding")]


def as_list(objects: list[Object]) -> str:
    """The objects in one document, as kubectl takes them from its standard input."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def apply(plane: ControlPlane, objects: list[Object]) -> None:
    plane.kubectl("apply", "--server-side", "--filename=-", input=as_list(objects))


@contextmanager
def kept_template(client: Client) -> Iterator[Object]:
    """Yields the template as it is; afterwards it is so again, even if it was deleted."""
    original = client.get(TEMPLATE)
    yield original
    current = client.find(TEMPLATE)
    if current is None:
        fresh = {key: original["metadata"][key] for key in ("name", "namespace", "labels")}
        client.post(TEMPLATES, {**original, "metadata": fresh})
    else:
        client.put(TEMPLATE, {**original, "metadata": current["metadata"]})
