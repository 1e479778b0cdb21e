"""A foreign cluster in place of the project's own node: kind, minikube, kubevirtci, or any that a kubeconfig names.

It must be one for tests: without KubeVirt, whose controllers would act on the tests' VMIs, and without an installation
of this project. Everything that the tests create there is removed at the end.
"""

import base64
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hack.builds.cache import CACHE
from hack.builds.images import REGISTRY
from testbed.addresses import UnixAddress
from tests.apiserver.client import Client
from tests.cluster import debian
from tests.cluster.builtin import write_builtin
from tests.cluster.commands import CommandError, run
from tests.cluster.kubectl import KubectlError
from tests.cluster.node import Node
from tests.cluster.tools import REPOSITORY, tool
from tests.cluster.vmi import STOCK
from tests.cluster.workloads import Workloads
from tests.node.archives import AGENT, HANDLER, archive_of
from tests.node.launcher.image import launcher_archive
from tests.node.place import LOADED, Images, Place, PodSocket
from tests.node.relay import Relay

KUBECONFIG = "KUBECONFIG_E2E"
IMAGES = "KUBECONFIG_E2E_IMAGES"
HELP = (
    f"{IMAGES} must say where the nodes of {KUBECONFIG} have the images from: REGISTRY/FOLDER:TAG, in which there are "
    f"{HANDLER}, {AGENT}, launcher and busybox, all with that tag, or the word `loaded`, if the nodes were given the "
    "archives of `make images` and `python -m tests.node.foreign` themselves; see CONTRIBUTING.md"
)
NAMESPACE = "vmi-service-status"
MANIFESTS = REPOSITORY / "manifests"
# A namespace with its pods needs some seconds to end.
TIMEOUT = 120.0


class UnfitError(Exception):
    """The cluster cannot be used, or not yet; the message says what to do."""


def images_of(environment: Mapping[str, str]) -> Images:
    """Return the images of KUBECONFIG_E2E_IMAGES; raise UnfitError."""
    stated = environment.get(IMAGES, "")
    if stated == "loaded":
        return LOADED
    folder, _, tag = stated.rpartition(":")
    if not folder or not tag or "/" in tag:
        raise UnfitError(f"{HELP}; it is {stated!r}" if stated else HELP)
    handler, agent, launcher, busybox = (f"{folder}/{name}:{tag}" for name in (HANDLER, AGENT, "launcher", "busybox"))
    return Images(handler, agent, launcher, busybox, "IfNotPresent")


def flattened(kubeconfig: Path, folder: Path) -> Path:
    """Return the current context of any kubeconfig in the one form that the tests read; raise UnfitError."""
    try:
        view = run(tool("kubectl"), "config", "view", f"--kubeconfig={kubeconfig}", "--minify", "--flatten", "-o=json")
    except CommandError as error:
        raise UnfitError(f"{KUBECONFIG}: {error}") from error
    config = json.loads(view)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    for part, field in ((cluster, "certificate-authority"), (user, "client-certificate"), (user, "client-key")):
        if f"{field}-data" in part:
            data = base64.b64decode(part.pop(f"{field}-data"))
            part[field] = str(_write(folder / field, data))
    if "certificate-authority" not in cluster or not ({"token", "client-certificate"} & user.keys()):
        raise UnfitError(
            f"{KUBECONFIG}: {kubeconfig}: the tests take a server with a certificate authority and a user with a token "
            "or a client certificate; `kubectl create token` makes one for an account of the cluster"
        )
    return _write(folder / "kubeconfig", json.dumps(config).encode())


def _write(path: Path, data: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path


def overlay_of(images: Images, folder: Path) -> Path:
    """Return the kustomization for these images."""
    if images == LOADED:
        return MANIFESTS / "overlays/test-node"
    chosen = []
    for name, image in ((HANDLER, images.handler), (AGENT, images.agent)):
        where, _, tag = image.rpartition(":")
        chosen.append({"name": f"{REGISTRY}/{name}", "newName": where, "newTag": tag})
    base = os.path.relpath(MANIFESTS / "overlays/kubevirt", folder)
    (folder / "kustomization.yaml").write_text(json.dumps({"resources": [base], "images": chosen}))
    return folder


class Foreign(Place):
    """A cluster that a foreign kubeconfig names, while the context lasts."""

    def __init__(self, kubeconfig: Path, images: Images, folder: Path) -> None:
        """`folder` is the tests' own, with a path that is short enough for sockets."""
        self._folder = folder
        self.images = images
        self.cluster = Workloads(folder, flattened(kubeconfig, folder))
        self.overlay = overlay_of(images, folder)
        self.client = Client(self.cluster.kubeconfig)
        self.node_name = self._choose()
        self._relays: dict[PodSocket, Relay] = {}

    def _choose(self) -> str:
        """Return the first node, by name, on which any pod may be scheduled."""
        nodes = self.client.get("/api/v1/nodes")["items"]
        free = [node["metadata"]["name"] for node in nodes if not _taints(node)]
        if not free:
            raise UnfitError(f"{KUBECONFIG}: of {len(nodes)} nodes none is without a taint")
        return str(min(free))

    def checked(self) -> Self:
        """Return itself, if it is usable; raise UnfitError. Nothing is changed by it."""
        crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/virtualmachineinstances.kubevirt.io"
        ours = f"/api/v1/namespaces/{NAMESPACE}"
        for path, what, kustomization in (
            (crd, "a KubeVirt", STOCK),
            (ours, "an installation of this project", MANIFESTS / "overlays/test-node"),
        ):
            if self.client.find(path) is not None:
                raise UnfitError(
                    f"{KUBECONFIG}: there is {what} in this cluster ({path}), which the tests would damage. If a run "
                    f"of theirs was killed and left it: kubectl delete -k {kustomization.relative_to(REPOSITORY)}"
                )
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Once its kind is gone too, kubectl cannot delete it a second time.
        installed = self.client.find(f"/api/v1/namespaces/{NAMESPACE}") is not None
        for kustomization in (self.overlay, STOCK) if installed else (STOCK,):
            self.cluster.kubectl.delete("-k", kustomization, "--ignore-not-found", wait=TIMEOUT)
        self.close()

    def close(self) -> None:
        """Disconnect from it without a change."""
        for relay in self._relays.values():
            relay.close()
        self.client.close()

    @property
    def node(self) -> Node:
        raise UnfitError("a foreign cluster's node cannot be looked into; the test lacks its mark `needs`")

    def volumes(self, pod_uid: str) -> Path:
        raise UnfitError("a foreign cluster's node cannot be looked into; the test lacks its mark `needs`")

    def has(self, socket: PodSocket) -> bool:
        try:
            where = ("exec", f"--namespace={socket.namespace}", socket.pod, f"--container={socket.container}")
            self.cluster.kubectl(*where, "--", "test", "-S", socket.inside)
        except KubectlError:  # the pod, or its container, does not exist
            return False
        return True

    def address(self, socket: PodSocket) -> UnixAddress:
        if socket not in self._relays:
            path = self._folder / f"{len(self._relays)}.sock"
            self._relays[socket] = Relay(path, self.cluster.kubectl, socket)
        return UnixAddress(self._relays[socket].path)


def main() -> None:
    """Print the paths of the archives of all four images."""
    builtin = write_builtin(CACHE / "busybox.tar", debian.unpacked() / "bin/busybox")
    for archive in (archive_of(HANDLER), archive_of(AGENT), launcher_archive(), builtin):
        sys.stdout.write(f"{archive}\n")


def _taints(node: Any) -> list[str]:
    """Return those that keep pods away."""
    return [taint["key"] for taint in node["spec"].get("taints", ()) if taint["effect"] != "PreferNoSchedule"]


if __name__ == "__main__":
    main()
