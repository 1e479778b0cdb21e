"""After an uninstall by docs/install.md nothing of the project is left, and VMs are not affected."""

import pytest

from testbed.pool import ViewerPool
from testbed.waiting import wait_until
from tests.apiserver.vmis import seen
from tests.cluster.kubectl import KubectlError
from tests.node.installation import NAMESPACE, Installation
from tests.node.launcher.kubevirt import KubeVirt
from tests.node.launcher.shape import IDLE
from tests.node.place import Ability
from tests.node.site import Site


def left_in_the_api(site: Site) -> list[str]:
    """Return every object with the project's name or label, of every kind that can be listed."""
    kinds = site.cluster.kubectl("api-resources", "--verbs=list", "--output=name", "--cached=false").split()
    ours = f"--selector=app.kubernetes.io/name={NAMESPACE}"
    listed = site.cluster.kubectl("get", ",".join(kinds), "--all-namespaces", ours, "--output=name").split()
    named = site.cluster.kubectl("get", "-k", site.overlay, "--ignore-not-found", "--output=name", check=False).split()
    return [*listed, *named, *(kind for kind in kinds if "servicestatus" in kind)]


def left_on_the_node(site: Site, handler: str) -> list[str]:
    """Return the handler's sockets, its pod's directories, its mounts, and its containers."""
    node = site.node
    sockets = node.exec("find", "/var/lib/kubelet/pods", "-name", "handler.sock").splitlines()
    directories = node.exec("find", "/var/lib/kubelet/pods", "-maxdepth", "1", "-name", handler).splitlines()
    mounts = [line for line in node.exec("cat", "/proc/mounts").splitlines() if handler in line]
    containers = [line for line in node.ctr("containers", "list").splitlines() if "handler-service" in line]
    return [*sockets, *directories, *mounts, *containers]


@pytest.mark.timeout(300)
@pytest.mark.needs(Ability.LOOK)
def test_nothing_is_left_and_vms_run_on(
    site: Site, kubevirt: KubeVirt, installation: Installation, viewers: ViewerPool
) -> None:
    """A later installation finds the VM again, with its viewer."""
    machine = kubevirt.start()
    viewer = viewers.establish(machine.display)
    machine.vmi.wait_told(seen(1))
    handler = installation.handler.uid

    installation.delete()
    assert left_in_the_api(site) == []
    # The kubelet removes dead containers once a minute.
    wait_until(lambda: left_on_the_node(site, handler), lambda left: left == [], what="nothing is left", timeout=120)
    with pytest.raises(KubectlError, match="the server doesn't have a resource type"):
        site.cluster.kubectl("get", "vmiss")
    later = kubevirt.start("later", command=IDLE).launcher
    later.wait_started()
    assert later.object()["spec"].get("initContainers", []) == []
    assert viewer.connected
    assert machine.launcher.phase == "Running"
    assert machine.launcher.restarts() == (0, 0)

    installation.apply()
    machine.vmi.wait_told(seen(1), timeout=60)
