"""VirtualMachineInstances on a bare control plane: as stock KubeVirt defines them, or with `status.serviceStatus`."""

import json
from pathlib import Path

from testbed.waiting import wait_until
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import virtual_machine_instance

MANIFESTS = Path(__file__).parent / "manifests"
# Kustomizations: serviceStatus is pruned by the first and kept by the second.
STOCK = MANIFESTS / "vmi"
WITH_SERVICE_STATUS = MANIFESTS / "vmi-service-status"


def use_schema(plane: ControlPlane, schema: Path) -> None:
    """Return when the API server uses this schema, up to a second after it has accepted it."""
    plane.apply(schema)
    expected = schema == WITH_SERVICE_STATUS
    wait_until(
        lambda: keeps_service_status(plane),
        lambda kept: kept == expected,
        what=f"VMIs are as {schema.name} says",
        interval=0.1,
    )


def keeps_service_status(plane: ControlPlane) -> bool:
    """Return whether a VMI that is created with a serviceStatus keeps it."""
    probe = virtual_machine_instance("probe", "default", status={"serviceStatus": {"vncSessions": 1}})
    command = ("create", "--dry-run=server", "--validate=ignore", "--output=json", "--filename=-")
    created = json.loads(plane.kubectl(*command, input=json.dumps(probe)))
    return "serviceStatus" in created.get("status", {})
