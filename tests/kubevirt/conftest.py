"""One cluster of two nodes for the whole session, with KubeVirt and the project on it; a namespace for each test."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.apiserver.client import Client
from tests.apiserver.vmis import seen
from tests.cluster.cluster import Cluster
from tests.kubevirt.build import Build
from tests.kubevirt.deployment import Deployment
from tests.kubevirt.machines import Machine, Machines
from tests.node import diagnosis
from tests.node.site import Site

# The first test waits for KubeVirt's operator, and each test for pods of KubeVirt.
TIMEOUT = 600


pytest_runtest_makereport = diagnosis.pytest_runtest_makereport


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(TIMEOUT))


@pytest.fixture(scope="session")
def build() -> Build:
    return Build.find()


@pytest.fixture(scope="session")
def cluster(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Running, with its nodes Ready; or the one of `python -m tests.kubevirt`, which stays."""
    if kept := os.environ.get("KUBEVIRT_CLUSTER"):
        yield Cluster.attach(Path(kept))
        return
    with Cluster(tmp_path_factory.mktemp("cluster"), nodes=2, images=[build.archive]) as up:
        yield up


@pytest.fixture(scope="session")
def site(cluster: Cluster) -> Iterator[Site]:
    with (
        tempfile.TemporaryDirectory(prefix="vss-", dir="/tmp") as links,
        contextlib.closing(Client(cluster.kubeconfig)) as client,
    ):
        yield Site(cluster, client, Path(links))


@pytest.fixture(scope="session")
def kubevirt(site: Site, build: Build) -> Deployment:
    """KubeVirt, deployed, without the project."""
    deployment = Deployment(site.cluster, site.client, build)
    if not deployment.deployed:
        # virt-operator waits most of the time.
        with ThreadPoolExecutor() as pool:
            given = pool.submit(deployment.give_images)
            deployment.deploy()
            given.result()
    return deployment


@pytest.fixture
def installation(kubevirt: Deployment) -> Deployment:
    """The project's overlay, applied whatever the test before has done to it."""
    kubevirt.install()
    return kubevirt


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    name = cluster.create_namespace()
    yield name
    cluster.delete_namespace(name)


@pytest.fixture
def machines(site: Site, installation: Deployment, namespace: str, tmp_path: Path) -> Machines:
    """Makes VMs in the test's namespace."""
    return Machines(site, installation, namespace, tmp_path)


@pytest.fixture
def machine(machines: Machines) -> Machine:
    """A running VM without a viewer."""
    return machines.start()


@pytest.fixture(scope="module")
def shared_machine(site: Site, kubevirt: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A VM that the tests of a module share: only viewers connect and leave, and nothing is killed or moved."""
    kubevirt.install()
    name = site.cluster.create_namespace()
    yield Machines(site, kubevirt, name, tmp_path_factory.mktemp("shared")).start()
    site.cluster.delete_namespace(name)


@pytest.fixture
def idle_machine(shared_machine: Machine) -> Machine:
    """The shared VM, after the viewers of the test before have left."""
    shared_machine.vmi.wait_told(seen(0))
    return shared_machine
