"""Builds the project's kustomizations as kubectl does, and finds things in them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.commands import run
from tests.cluster.objects import Object
from tests.cluster.tools import REPOSITORY, tool

MANIFESTS = REPOSITORY / "manifests"
NAMESPACE = "vmi-service-status"


def build(kustomization: Path) -> list[Object]:
    """Return the objects, as `kubectl kustomize` makes them."""
    return list(yaml.safe_load_all(run(tool("kubectl"), "kustomize", kustomization)))


def overlay(folder: Path, content: Object, *, base: str = "base") -> Path:
    """A kustomization of an admin's own; `components` are the project's, by name."""
    where = {"resources": [os.path.relpath(MANIFESTS / base, folder)]}
    if components := content.pop("components", None):
        where["components"] = [os.path.relpath(MANIFESTS / "components" / name, folder) for name in components]
    (folder / "kustomization.yaml").write_text(json.dumps(where | content))
    return folder


def workload(objects: list[Object], component: str) -> Object:
    """The DaemonSet or Deployment of one of the programs."""
    (found,) = (
        thing
        for thing in objects
        if thing["kind"] in ("DaemonSet", "Deployment")
        and thing["metadata"]["labels"]["app.kubernetes.io/component"] == component
    )
    return found


def one(objects: list[Object], kind: str) -> Object:
    (found,) = (thing for thing in objects if thing["kind"] == kind)
    return found


def images_in(thing: Any) -> Iterator[str]:
    """Return every image that an object names, in any field."""
    if isinstance(thing, dict):
        if isinstance(thing.get("image"), str):
            yield thing["image"]
        for value in thing.values():
            yield from images_in(value)
    if isinstance(thing, list):
        for value in thing:
            yield from images_in(value)


def handler_of(objects: list[Object]) -> Object:
    spec: Object = one(objects, "DaemonSet")["spec"]["template"]["spec"]
    return spec


WEBHOOK = "injection-webhook"
#: The securityContext of each container of ours.
CONFINED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
