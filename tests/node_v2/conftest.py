"""One kubelet for the session, a launcher pod with a VM and one without; other pods are each test's own."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.pool import ViewerPool
from testbed.waiting import wait_until
from tests.node.launcher.shape import IDLE
from tests.node_v2.kubelet import Kubelet
from tests.node_v2.pods import StaticPod

# The LauncherAgentTemplate's, but for the limit of CPU: 100m of a real CPU, in emulated ones.
RESOURCES = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "2", "memory": "64Mi"}}


@pytest.fixture(scope="session")
def kubelet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubelet]:
    """`NODE_STORE`, which tests/vm sets, is a store of containerd with the images."""
    with Kubelet(tmp_path_factory.mktemp("node"), Path(os.environ["NODE_STORE"])) as running:
        yield running


@pytest.fixture(scope="session")
def links() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vss-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def launcher(kubelet: Kubelet, links: Path) -> Iterator[StaticPod]:
    """With a VM, whose viewers the agent counts."""
    with StaticPod(kubelet, "launcher", links, resources=RESOURCES) as pod:
        pod.wait_display()
        pod.wait_ready()
        pod.wait_sessions(0)
        yield pod


@pytest.fixture(scope="session")
def waiting(kubelet: Kubelet, links: Path) -> Iterator[StaticPod]:
    """Without a VM: its agent waits for libvirt."""
    with StaticPod(kubelet, "waiting", links, command=IDLE, resources=RESOURCES) as pod:
        pod.wait_ready()
        wait_until(pod.starts, what="the agent runs", interval=0.5)
        yield pod


@pytest.fixture
def viewers() -> Iterator[ViewerPool]:
    with ViewerPool() as pool:
        yield pool
