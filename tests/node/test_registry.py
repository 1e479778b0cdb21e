"""The agent's image in a registry with a password: the section of docs/install.md about it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.waiting import wait_until
from tests.cluster.objects import Object
from tests.node.archives import AGENT as IMAGE
from tests.node.archives import archive_of
from tests.node.installation import NAMESPACE, TEMPLATE, Installation
from tests.node.launcher.kubevirt import KubeVirt
from tests.node.launcher.shape import AGENT, IDLE
from tests.node.place import Ability
from tests.node.pods import NodePod
from tests.node.registry import Registry, pull_secret
from tests.node.site import Site

pytestmark = pytest.mark.needs(Ability.LOOK)
PULL_SECRET = "registry"  # noqa: S105 - the name of one


def template(site: Site, image: str, secrets: list[Object] | None) -> None:
    agent = {"name": AGENT, "image": image, "imagePullPolicy": "IfNotPresent"}
    patch = json.dumps({"spec": {"containers": [agent], "imagePullSecrets": secrets}})
    site.cluster.kubectl("patch", TEMPLATE, f"--namespace={NAMESPACE}", f"--patch={patch}", "--type=merge")


@pytest.fixture
def image(site: Site, installation: Installation, tmp_path: Path) -> Iterator[str]:
    """The agent's image in the registry, and in the template with the secret's name."""
    with Registry(site.node, tmp_path) as registry:
        pushed = registry.push(archive_of(IMAGE), "launcher-agent:private")
        template(site, pushed, [{"name": PULL_SECRET}])
        yield pushed
        template(site, pushed, None)
        installation.restore()
        site.node.ctr("images", "rm", "--sync", pushed)


def waiting(pod: NodePod) -> str:
    """Return why the agent's container waits."""
    reason: str = pod.container(AGENT).get("state", {}).get("waiting", {}).get("reason", "")
    return reason


def test_a_vm_starts_whose_namespace_has_the_secret_and_no_other(
    site: Site, image: str, kubevirt: KubeVirt, namespace: str
) -> None:
    """The image is on the node then, pulled with the secret, and is still denied to a pod without that secret."""
    site.client.post(f"/api/v1/namespaces/{namespace}/secrets", pull_secret(PULL_SECRET, namespace))
    pod = kubevirt.start("first", command=IDLE).launcher
    pod.wait_started()
    assert pod.object()["spec"]["imagePullSecrets"] == [{"name": PULL_SECRET}]
    assert pod.object()["spec"]["initContainers"][0]["image"] == image

    bare = site.cluster.create_namespace()
    try:
        other = KubeVirt(site, bare).start("second", command=IDLE).launcher
        refused = {"ErrImagePull", "ImagePullBackOff"}
        wait_until(lambda: waiting(other), lambda reason: reason in refused, what="the image is refused", timeout=60)
    finally:
        site.cluster.delete_namespace(bare)
