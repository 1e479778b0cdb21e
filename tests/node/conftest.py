"""One place for the whole session, with the project's images, and one namespace for each test.

It is a node of the project's own, or the cluster that `KUBECONFIG_E2E` names; what that cannot do is left out.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.pool import ViewerPool
from tests.apiserver.client import Client
from tests.cluster.cluster import Cluster
from tests.cluster.workloads import Workloads
from tests.node import diagnosis
from tests.node.archives import AGENT, HANDLER, archive_of
from tests.node.foreign import KUBECONFIG, Foreign, UnfitError, images_of
from tests.node.installation import Installation
from tests.node.launcher.image import launcher_archive
from tests.node.launcher.kubevirt import KubeVirt
from tests.node.place import Ability, Place
from tests.node.site import Site

pytest_runtest_makereport = diagnosis.pytest_runtest_makereport


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a foreign cluster, a test that needs more than its API is left out, with its reason."""
    if not os.environ.get(KUBECONFIG):
        return
    reasons = {item: mark.args[0] for item in items for mark in item.iter_markers("needs")}
    for item, ability in reasons.items():
        _say(config, f"left out: {item.nodeid}: {ability.value}")
    config.hook.pytest_deselected(items=list(reasons))
    items[:] = [item for item in items if item not in reasons]


def _say(config: pytest.Config, line: str) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(line)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Where the tests run, ready."""
    with tempfile.TemporaryDirectory(prefix="vss-", dir="/tmp") as folder:
        if foreign := os.environ.get(KUBECONFIG):
            with _foreign(Path(foreign), Path(folder)) as there:
                yield there
        else:
            with _own(tmp_path_factory.mktemp("cluster"), Path(folder)) as site:
                yield site


@contextlib.contextmanager
def _own(folder: Path, links: Path) -> Iterator[Site]:
    # Images that change rarely are unpacked once for all clusters; the project's own images change with each edit.
    with Cluster(folder, images=[launcher_archive()]) as up, contextlib.closing(Client(up.kubeconfig)) as client:
        for image in (AGENT, HANDLER):
            up.nodes[0].import_images(archive_of(image))
        yield Site(up, client, links)


def _foreign(kubeconfig: Path, folder: Path) -> Foreign:
    """An unusable cluster ends the run: every test would fail for the same reason."""
    try:
        return Foreign(kubeconfig, images_of(os.environ), folder).checked()
    except (UnfitError, OSError) as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture(scope="session")
def cluster(place: Place) -> Workloads:
    return place.cluster


@pytest.fixture(scope="session")
def site(place: Place) -> Site:
    """A node of the project's own, for tests that look into it."""
    assert isinstance(place, Site), f"{KUBECONFIG} gives none: the test lacks its mark, needs({Ability.LOOK})"
    return place


@pytest.fixture
def namespace(cluster: Workloads) -> Iterator[str]:
    """A namespace for one test, with its default service account."""
    name = cluster.create_namespace()
    yield name
    cluster.delete_namespace(name)


@pytest.fixture(scope="session")
def session_installation(place: Place) -> Installation:
    """One object for all tests, which knows what they have done to it."""
    return Installation(place)


@pytest.fixture
def installation(session_installation: Installation) -> Installation:
    """Installed and ready, whatever the test before has done to it."""
    session_installation.ensure()
    return session_installation


@pytest.fixture
def kubevirt(place: Place, installation: Installation, namespace: str) -> KubeVirt:
    """Makes VMs in the test's namespace."""
    return KubeVirt(place, namespace)


@pytest.fixture
def viewers() -> Iterator[ViewerPool]:
    with ViewerPool() as pool:
        yield pool
