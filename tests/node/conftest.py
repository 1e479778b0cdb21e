"""One cluster with one node for the whole session, with the project's images on it, and one namespace for each test."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apiserver.client import Client
from tests.cluster.cluster import Cluster
from tests.node.archives import AGENT, HANDLER, archive_of
from tests.node.installation import Installation
from tests.node.launcher.image import launcher_archive
from tests.node.launcher.kubevirt import KubeVirt
from tests.node.pods import Site
from tests.support.pool import ViewerPool


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Up, with its node Ready."""
    # What changes seldom is unpacked once for all clusters; the project's own images change with each edit.
    with Cluster(tmp_path_factory.mktemp("cluster"), images=[launcher_archive()]) as up:
        for image in (AGENT, HANDLER):
            up.nodes[0].import_images(archive_of(image))
        yield up


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own, with its default service account."""
    name = cluster.create_namespace()
    yield name
    cluster.delete_namespace(name)


@pytest.fixture(scope="session")
def site(cluster: Cluster) -> Iterator[Site]:
    with (
        tempfile.TemporaryDirectory(prefix="vss-", dir="/tmp") as links,
        contextlib.closing(Client(cluster.kubeconfig)) as client,
    ):
        yield Site(cluster, client, Path(links))


@pytest.fixture
def installation(site: Site) -> Installation:
    """Applied, whatever the test before has done to it, and ready."""
    installed = Installation(site)
    installed.apply()
    return installed


@pytest.fixture
def kubevirt(site: Site, installation: Installation, namespace: str) -> KubeVirt:
    """Makes VMs in the test's namespace."""
    return KubeVirt(site, namespace)


@pytest.fixture
def viewers() -> Iterator[ViewerPool]:
    with ViewerPool() as pool:
        yield pool
