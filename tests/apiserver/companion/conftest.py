"""A VMI and its companion."""

import pytest

from tests.apiserver.identities import User, admin, companion_of
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object, virtual_machine_instance


@pytest.fixture
def root(control_plane: ControlPlane) -> User:
    return admin(control_plane)


@pytest.fixture
def vmi(control_plane: ControlPlane, namespace: str) -> Object:
    return control_plane.create(virtual_machine_instance("vm", namespace, status={"nodeName": "n1"}))


@pytest.fixture
def companion(control_plane: ControlPlane, vmi: Object) -> Object:
    return control_plane.create(companion_of(vmi, "n1"))
