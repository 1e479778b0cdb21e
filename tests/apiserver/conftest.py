"""One control plane for the whole session, a namespace for each test, and nodes whose handlers are the real program."""

import contextlib
import uuid
from collections.abc import Callable, Iterator

import pytest

from testbed.libvirtd import PrivateLibvirt
from testbed.pool import ViewerPool
from testbed.vm import VirtualMachine, VirtualMachines
from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.identities import BASE, install
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peers
from tests.apiserver.vmis import Vmi, keeps_service_status
from tests.cluster.control_plane import ControlPlane
from tests.cluster.vmi import STOCK, WITH_SERVICE_STATUS, use_schema


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Serves VMIs, with the base applied. A test whose result depends on the VMIs' schema requests a fixture below."""
    with ControlPlane(tmp_path_factory.mktemp("control-plane"), resources=[STOCK, BASE]) as plane:
        yield plane


@pytest.fixture
def client(control_plane: ControlPlane) -> Iterator[Client]:
    """The admin's."""
    with contextlib.closing(Client(control_plane.kubeconfig)) as admin:
        yield admin


@pytest.fixture(scope="module")
def admin(control_plane: ControlPlane) -> Iterator[Client]:
    """The same, for what a module's fixtures keep in force."""
    with contextlib.closing(Client(control_plane.kubeconfig)) as client:
        yield client


@pytest.fixture
def namespace(client: Client) -> Iterator[str]:
    """A namespace for one test, with its default service account.

    Only its VMIs are removed: deleting a namespace costs the control plane a hundred requests.
    """
    name = f"test-{uuid.uuid4().hex[:8]}"
    client.post("/api/v1/namespaces", {"metadata": {"name": name}})
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_until(lambda: client.find(account), what=f"{name} has its service account", timeout=90, interval=0.02)
    yield name
    client.delete(f"/apis/kubevirt.io/v1/namespaces/{name}/virtualmachineinstances")


@pytest.fixture
def stock_schema(control_plane: ControlPlane, client: Client) -> None:
    """VMIs as stock KubeVirt has them: `status.serviceStatus` is pruned."""
    if keeps_service_status(client):
        use_schema(control_plane, STOCK)


@pytest.fixture
def service_status_schema(control_plane: ControlPlane, client: Client) -> None:
    """VMIs with `status.serviceStatus.vncSessions`."""
    if not keeps_service_status(client):
        use_schema(control_plane, WITH_SERVICE_STATUS)


# --- handlers ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def installed(control_plane: ControlPlane) -> None:
    """Wait until the admission policies of manifests/base are in force."""
    install(control_plane)


@pytest.fixture
def new_node(control_plane: ControlPlane, installed: None) -> Iterator[Callable[[], Node]]:
    """Makes nodes; the test starts and stops their handlers."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(Node(control_plane, f"node-{uuid.uuid4().hex[:8]}"))


@pytest.fixture
def node(new_node: Callable[[], Node]) -> Node:
    return new_node()


@pytest.fixture
def handler(node: Node) -> Iterator[Handler]:
    """The handler of `node`, running with the default stream settings."""
    with node.handler() as running:
        yield running


@pytest.fixture(scope="session")
def shared_node(control_plane: ControlPlane, installed: None) -> Iterator[Node]:
    """A node for tests that disturb neither the node nor its handler: a module names it `node`."""
    with Node(control_plane, "shared-node") as shared:
        yield shared


@pytest.fixture(scope="module")
def shared_node_of_module(control_plane: ControlPlane, installed: None) -> Iterator[Node]:
    """Like `shared_node`, for a module whose handler has other stream settings."""
    with Node(control_plane, f"node-{uuid.uuid4().hex[:8]}") as shared:
        yield shared


@pytest.fixture(scope="session")
def shared_handler(shared_node: Node) -> Iterator[Handler]:
    """The shared node's handler, with the default stream settings; starting one takes a second of CPU."""
    with shared_node.handler() as running:
        yield running


@pytest.fixture
def peers() -> Iterator[Peers]:
    with Peers() as made:
        yield made


@pytest.fixture
def vmi(client: Client, namespace: str, node: Node) -> Vmi:
    """A VMI that runs on `node` and whose pod directory exists."""
    return node.run(Vmi(client, namespace))


# --- real VMs ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def libvirtd() -> Iterator[PrivateLibvirt]:
    """Shared: tests only start and stop their own VMs on it."""
    with PrivateLibvirt() as shared:
        yield shared


@pytest.fixture
def vms(libvirtd: PrivateLibvirt) -> Iterator[VirtualMachines]:
    with VirtualMachines(libvirtd) as machines:
        yield machines


@pytest.fixture
def vm(vms: VirtualMachines) -> VirtualMachine:
    """A VM as KubeVirt creates it: started, and paused."""
    return vms.new().start()


@pytest.fixture
def viewers() -> Iterator[ViewerPool]:
    with ViewerPool() as pool:
        yield pool
