"""Live migrations that a test requests, watches, and aborts in the middle."""

from collections.abc import Collection

from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.vmis import Vmi
from tests.cluster.objects import Object
from tests.kubevirt.creation import create

# 3 to 5 s; a slow one takes 12, and an aborted one may keep its target for 16 s more. Seen once: an older message of
# virt-launcher arrived after the last one, and virt-handler asks again only every 300 s.
TIMEOUT = 360.0
# KubeVirt's names of the last phases.
ENDS = ("Succeeded", "Failed")

#: For a VM whose migrations take so long that a fault can occur in the middle of one.
SLOW = {"vmi-service-status-test/migrates": "slowly"}
# A page that the firmware never touched takes 9 bytes in transit, and none in the machine: 7 MB, which take 7 s, and
# 18 s for a migration that will be aborted, however busy the machine is.
SLOW_MEMORY = "3Gi"
ENDLESS_MEMORY = "8Gi"


def slow_policy() -> Object:
    """1 MiB a second is KubeVirt's minimum."""
    return {
        "apiVersion": "migrations.kubevirt.io/v1alpha1",
        "kind": "MigrationPolicy",
        "metadata": {"name": "slow"},
        "spec": {"selectors": {"virtualMachineInstanceSelector": SLOW}, "bandwidthPerMigration": "1Mi"},
    }


class Migration:
    """One live migration of a VM to another node."""

    def __init__(self, client: Client, vmi: Vmi) -> None:
        """Asks for it."""
        self._client = client
        self._vmi = vmi
        path = f"/apis/kubevirt.io/v1/namespaces/{vmi.namespace}/virtualmachineinstancemigrations"
        manifest = {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstanceMigration",
            "metadata": {"generateName": f"{vmi.name}-", "namespace": vmi.namespace},
            "spec": {"vmiName": vmi.name},
        }
        self._path = f"{path}/{create(client, path, manifest)['metadata']['name']}"

    @property
    def phase(self) -> str:
        return str(self._client.get(self._path).get("status", {}).get("phase", ""))

    def wait_succeeded(self) -> None:
        assert self._wait(ENDS) == "Succeeded", "the migration has failed"

    def wait_failed(self) -> None:
        assert self._wait(ENDS) == "Failed", "the migration has succeeded"

    def wait_under_way(self) -> None:
        """Wait until the source's QEMU sends to the target's."""
        phase = self._wait(("Running", *ENDS))
        assert phase == "Running", f"too late to be in the middle: {phase}"

    def _wait(self, phases: Collection[str]) -> str:
        what = f"the migration of {self._vmi.name} is {' or '.join(phases)}"
        return wait_until(lambda: self.phase, lambda seen: seen in phases, what=what, timeout=TIMEOUT, interval=0.02)

    def abort(self) -> None:
        """Abort it as a user does: delete the object that requested it. Return when KubeVirt has dropped it."""
        self._client.delete(self._path)
        gone = f"the migration of {self._vmi.name} is aborted"
        wait_until(lambda: self._client.find(self._path), lambda found: found is None, what=gone, timeout=TIMEOUT)
