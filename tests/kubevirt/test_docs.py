"""The examples of docs/ that need a real KubeVirt, as a user with the rights that the page names, and no others."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from testbed.documents import Example, examples, files
from testbed.playing import Scene, play
from testbed.waiting import wait_until
from tests.apiserver.vmis import seen
from tests.cluster.cluster import Cluster
from tests.kubevirt.deployment import Deployment
from tests.kubevirt.machines import Machine, Machines
from tests.node.site import Site

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def fedora(site: Site, kubevirt: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The VM of the pages."""
    kubevirt.install()
    name = site.cluster.create_namespace()
    yield Machines(site, kubevirt, name, tmp_path_factory.mktemp("docs")).start("fedora")
    site.cluster.delete_namespace(name)


@pytest.fixture(scope="module")
def kubeconfig(cluster: Cluster, fedora: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a ServiceAccount with the page's Role, in the VM's namespace, which is the kubeconfig's default."""
    namespace = fedora.vmi.namespace
    where = f"--namespace={namespace}"
    role = files()["screenshots.yaml"]
    cluster.kubectl("apply", where, "--filename=-", input=role)
    name = yaml.safe_load(role)["metadata"]["name"]
    cluster.kubectl("create", "rolebinding", name, where, f"--role={name}", f"--serviceaccount={namespace}:default")
    config = json.loads(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": cluster.token(namespace, "default")}
    config["contexts"][0]["context"]["namespace"] = namespace
    path = tmp_path_factory.mktemp("user") / "kubeconfig"
    path.write_text(json.dumps(config))
    may = ("auth", "can-i", "watch", "vmiss", f"--kubeconfig={path}")
    wait_until(lambda: cluster.kubectl(*may, check=False).strip(), lambda said: said == "yes", what="it has its rights")
    return path


def _idle(machine: Machine) -> Scene:
    machine.vmi.wait_told(seen(0))
    yield


def _watched(machine: Machine) -> Scene:
    with machine.virtctl() as virtctl:
        virtctl.view()
        machine.vmi.wait_told(seen(1))
        command = yield
        wait_until(lambda: command.running, lambda running: not running, what="the command ends")


def _leave(machine: Machine) -> Scene:
    with machine.virtctl() as virtctl:
        virtctl.view()
        machine.vmi.wait_told(seen(1))
        command = yield
        command.wait_for_log("waiting: ")


SCENES: Mapping[str, Callable[[Machine], Scene]] = {
    "no viewer": _idle,
    "one viewer": _watched,
    "the viewer leaves while it waits": _leave,
}


@pytest.mark.parametrize("example", examples("KubeVirt"), ids=str)
def test_it_prints_what_the_page_says(example: Example, fedora: Machine, kubeconfig: Path, tmp_path: Path) -> None:
    """And the picture is there if the command was run, and only then."""
    path = [fedora.deployment.build.virtctl.parent, Path(sys.executable).parent, os.environ["PATH"]]
    environment = {"PATH": ":".join(map(str, path)), "KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path)}
    play(example, SCENES[example.scene](fedora), tmp_path, environment)
    picture = tmp_path / "fedora.png"
    if "status 0" in example.output:
        assert picture.read_bytes().startswith(PNG)
    else:
        assert not picture.exists()
