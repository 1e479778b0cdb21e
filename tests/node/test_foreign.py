"""A foreign cluster in place of the project's node: the messages before anything is changed, and access to displays."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.pool import ViewerPool
from tests.apiserver.vmis import seen
from tests.cluster.tools import REPOSITORY
from tests.node.foreign import IMAGES, KUBECONFIG, Foreign, UnfitError, flattened, images_of
from tests.node.launcher.kubevirt import KubeVirt
from tests.node.place import LOADED, Ability
from tests.node.site import Site


def test_the_images_are_named_as_the_registry_has_them() -> None:
    """All four in one place, with one tag; or as the archives that the nodes were given."""
    images = images_of({IMAGES: "registry.example:5000/vss:try"})
    assert images.handler == "registry.example:5000/vss/handler-service:try"
    assert images.launcher == "registry.example:5000/vss/launcher:try"
    assert images.pull_policy == "IfNotPresent"
    assert images_of({IMAGES: "loaded"}) == LOADED


@pytest.mark.parametrize("stated", ["", "registry.example/vss", "registry.example:5000/vss", ":try"])
def test_images_without_a_source_are_an_error_that_names_the_variable(stated: str) -> None:
    """Without a tag, or nothing at all: before any request to the cluster."""
    with pytest.raises(UnfitError, match="KUBECONFIG_E2E_IMAGES must say where"):
        images_of({IMAGES: stated})


def test_what_is_left_out_is_listed_with_its_reason() -> None:
    """One line for each test, and no skip."""
    environment = {**os.environ, KUBECONFIG: "/nowhere"}
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:randomly", "tests/node/test_node.py"]
    done = subprocess.run(
        collect, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    left_out = [line for line in done.stdout.splitlines() if line.startswith("left out: ")]
    assert left_out[-1] == (
        "left out: tests/node/test_node.py::test_a_stopped_node_comes_back_and_runs_its_pods_again: "
        "it stops the node and starts it again"
    )
    assert "tests/node/test_node.py::test_a_pod_is_scheduled_and_runs" in done.stdout.splitlines()
    assert f"({len(left_out)} deselected)" in done.stdout


# --- the project's own node, used as a foreign one --------------------------------------------------------------------


@pytest.fixture
def foreign(site: Site) -> Iterator[Foreign]:
    """By its API only."""
    with tempfile.TemporaryDirectory(prefix="vss-", dir="/tmp") as folder:
        there = Foreign(site.cluster.kubeconfig, LOADED, Path(folder))
        yield there
        there.close()


@pytest.mark.needs(Ability.OWN)
def test_a_viewer_gets_to_a_display_by_exec(
    foreign: Foreign, kubevirt: KubeVirt, namespace: str, viewers: ViewerPool
) -> None:
    """Each side's end ends the other: a viewer that closes is gone, and one whose VM ends is closed."""
    machine = KubeVirt(foreign, namespace).start()
    stays, leaves = viewers.establish(machine.display), viewers.establish(machine.display)
    machine.vmi.wait_told(seen(2))
    leaves.close()
    machine.vmi.wait_told(seen(1))
    machine.launcher.delete()
    stays.wait_closed()


@pytest.mark.needs(Ability.OWN)
def test_a_cluster_that_is_used_is_left_alone(foreign: Foreign, kubevirt: KubeVirt) -> None:
    """The VMIs there belong to others."""
    with pytest.raises(UnfitError, match="there is a KubeVirt in this cluster"):
        foreign.checked()


@pytest.mark.needs(Ability.OWN)
def test_any_kubeconfig_is_brought_into_one_form(site: Site, tmp_path: Path) -> None:
    """Its current context, with files in place of data."""
    given = tmp_path / "given"
    given.write_text(site.cluster.kubectl("config", "view", "--raw", "--flatten"))
    made = json.loads(flattened(given, tmp_path).read_text())
    authority = Path(made["clusters"][0]["cluster"]["certificate-authority"])
    assert authority.read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert (tmp_path / "kubeconfig").stat().st_mode & 0o777 == 0o600


def test_a_kubeconfig_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """By the variable's name."""
    with pytest.raises(UnfitError, match=r"^KUBECONFIG_E2E: .*nowhere"):
        flattened(tmp_path / "nowhere", tmp_path)


@pytest.mark.needs(Ability.OWN)
def test_a_user_that_the_tests_cannot_be_is_an_error(tmp_path: Path) -> None:
    """For example one by a plugin."""
    given = tmp_path / "given"
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "login", "interactiveMode": "Never"}}
    given.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": "https://c.example:6443"}}],
                "users": [{"name": "u", "user": user}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "c",
            }
        )
    )
    with pytest.raises(UnfitError, match="a user with a token or a client certificate"):
        flattened(given, tmp_path)
