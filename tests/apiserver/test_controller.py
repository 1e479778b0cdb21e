"""What users and admins do to a whole cluster, and what the controller and a handler make of it."""

import contextlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.controllers import LEASE, Controller
from tests.apiserver.identities import BASE, NAMESPACE, install
from tests.apiserver.nodes import Node
from tests.apiserver.peers import Peers
from tests.apiserver.proxy import Proxy
from tests.apiserver.vmis import NODE_LABEL, Vmi, seen, unknown
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import virtual_machine_instance
from tests.cluster.vmi import STOCK

pytestmark = pytest.mark.timeout(400)

# One page of the controller's list. An annotation of the largest size, in which one character needs four bytes. Without
# a bound for a page, its text alone would have 100 MB.
VMIS, ANNOTATION = 100, "x" * (250 << 10) + "\N{GRINNING FACE}"
# Bytes; the Deployment's limit is 384 MiB. Measured: 76 MiB.
PEAK = 110 << 20


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Of this module's own: its data is restored, and handlers of other modules renew no Lease."""
    with ControlPlane(tmp_path_factory.mktemp("restored"), resources=[STOCK, BASE]) as plane:
        install(plane)
        yield plane


def test_vmis_with_the_largest_annotations_fit_into_the_memory_of_the_controller(
    control_plane: ControlPlane, client: Client, namespace: str, tmp_path: Path
) -> None:
    """Every user who may create VMIs decides on them. A controller without memory marks nothing in the cluster."""
    path = f"/apis/kubevirt.io/v1/namespaces/{namespace}/virtualmachineinstances"

    def create(number: int) -> None:
        manifest = virtual_machine_instance(f"vm-{number}", namespace)
        manifest["metadata"] |= {"labels": {NODE_LABEL: "n"}, "annotations": {"large": ANNOTATION}}
        client.post(path, manifest)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, range(VMIS)))
    with Controller(control_plane, tmp_path) as controller:
        watching = "vmi_service_status_controller_watch_failing"
        resource = 'resource="virtualmachineinstances"'
        wait_until(lambda: controller.metric(f"{watching}{{{resource}}}"), lambda now: now == 0, what="all are listed")
        assert controller.peak_memory() < PEAK


def test_after_the_cluster_was_restored_from_a_backup_no_value_of_before_is_shown_as_observed(
    control_plane: ControlPlane, client: Client, tmp_path: Path
) -> None:
    """The backup has no viewer, and the handler has written one since.

    A watch that goes on from a version of before shows nothing of what was restored. Then the handler dies, and the
    controller marks what was restored.
    """
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(Node(control_plane, "node-restored"))
        stack.enter_context(Controller(control_plane, tmp_path))
        peers = stack.enter_context(Peers())
        vmi = node.run(Vmi(client, "default", "restored"))
        network = stack.enter_context(Proxy(control_plane.url))
        handler = stack.enter_context(node.handler(LEASE, server=network.url, publisher="companion"))
        peer = peers.connect(vmi.socket, sessions=0)
        vmi.wait_told(seen(0))
        backup = _back_up(control_plane, tmp_path)
        _wait_renewed(client, node)
        peer.report(1)
        vmi.wait_told(seen(1))
        network.break_off()
        _restore(control_plane, backup)
        assert vmi.told() == seen(0)
        network.restore()
        vmi.wait_told(seen(1), timeout=60)
        handler.kill()
        vmi.wait_told(unknown(1, "HandlerAway"), timeout=120)


def test_a_companion_of_a_former_vm_that_a_finalizer_keeps_is_marked(
    control_plane: ControlPlane, client: Client, tmp_path: Path
) -> None:
    """The VM of this name is another one, or none. What the former one showed must not pass for observed."""
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(Node(control_plane, "node-kept"))
        stack.enter_context(Controller(control_plane, tmp_path))
        peers = stack.enter_context(Peers())
        vmi = node.run(Vmi(client, "default", "kept"))
        stack.enter_context(node.handler(LEASE, publisher="companion"))
        peers.connect(vmi.socket, sessions=0)
        vmi.wait_told(seen(0))
        client.patch(vmi.companion_path, {"metadata": {"finalizers": ["example.com/backup"]}})
        vmi.delete()
        node.run(vmi)
        try:
            vmi.wait_told(unknown(0, "HandlerAway"), timeout=150)
        finally:
            client.patch(vmi.companion_path, {"metadata": {"finalizers": []}})
        # The new VM's handler has waited for the place.
        peers.connect(vmi.socket, sessions=1, timeout=60)
        vmi.wait_told(seen(1), timeout=90)


def _data(plane: ControlPlane) -> Path:
    return plane.folder / "etcd"


def _back_up(plane: ControlPlane, folder: Path) -> Path:
    plane.etcd.freeze()
    try:
        return Path(shutil.copytree(_data(plane), folder / "backup"))
    finally:
        plane.etcd.thaw()


def _restore(plane: ControlPlane, backup: Path) -> None:
    plane.apiserver.kill()
    plane.etcd.kill()
    shutil.rmtree(_data(plane))
    shutil.copytree(backup, _data(plane))
    plane.etcd.start()
    plane.apiserver.start()


def _wait_renewed(client: Client, node: Node) -> None:
    """Wait for a renewal of the node's Lease: the handler notices a restoration by it."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/handler-{node.name}"
    before = client.get(path)["spec"]["renewTime"]
    wait_until(
        lambda: client.get(path)["spec"]["renewTime"], lambda now: now != before, what="it is renewed", timeout=60
    )
