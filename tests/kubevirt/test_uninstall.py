"""The project is uninstalled and installed again while VMs run."""

from tests.apiserver.vmis import seen
from tests.kubevirt.deployment import Deployment
from tests.kubevirt.machines import Machine


def test_the_overlay_goes_and_vms_run_on(machine: Machine, installation: Deployment) -> None:
    """With a viewer connected, which stays so; and comes back, with the viewer counted."""
    with machine.virtctl() as virtctl:
        viewer = virtctl.view()
        machine.vmi.wait_told(seen(1))
        installation.uninstall()
        assert viewer.connected
        assert machine.phase == "Running"
        installation.install()
        machine.vmi.wait_told(seen(1), timeout=60)
        assert viewer.connected
