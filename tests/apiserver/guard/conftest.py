"""Two handlers, the account without a node, an administrator, and a VMI with its companion."""

import pytest

from tests.apiserver.guard.requests import HERE, THERE
from tests.apiserver.identities import ACCOUNT, NAMESPACE, Handler, User, admin, companion_of
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object, virtual_machine_instance


@pytest.fixture(scope="session")
def here(control_plane: ControlPlane, installed: None) -> Handler:
    """The handler of the node on which the VMI is."""
    return Handler(control_plane, HERE)


@pytest.fixture(scope="session")
def there(control_plane: ControlPlane, installed: None) -> Handler:
    """The handler of another node."""
    return Handler(control_plane, THERE)


@pytest.fixture(scope="session")
def nowhere(control_plane: ControlPlane, installed: None) -> User:
    """The handler's account with a token that an administrator created by hand: bound to no pod, it names no node."""
    return User(control_plane, control_plane.token(NAMESPACE, ACCOUNT))


@pytest.fixture(scope="session")
def root(control_plane: ControlPlane, installed: None) -> User:
    return admin(control_plane)


@pytest.fixture
def vmi(root: User, namespace: str) -> Object:
    """A running VMI with an example of every field that KubeVirt writes."""
    status = {
        "phase": "Running",
        "nodeName": HERE,
        "activePods": {"3f2c9e4e-0000-4000-8000-000000000001": HERE},
        "interfaces": [{"name": "default", "ipAddress": "10.0.0.9"}],
        "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": None}],
    }
    spec = {"domain": {"devices": {"disks": [{"name": "root", "disk": {"bus": "virtio"}}]}, "memory": {"guest": "1Gi"}}}
    return root.create(virtual_machine_instance("vm", namespace, spec=spec, status=status)).taken()


@pytest.fixture
def companion(vmi: Object, here: Handler) -> Object:
    """The VMI's companion, as its handler created it."""
    return here.create(companion_of(vmi, HERE)).taken()
