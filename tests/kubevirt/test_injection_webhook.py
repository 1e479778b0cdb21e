"""The webhook in the place of the policy, for a Kubernetes that has none: VMs of a real KubeVirt get their agent."""

from collections.abc import Iterator

import pytest

from tests.apiserver.vmis import seen
from tests.kubevirt.deployment import Deployment
from tests.kubevirt.machines import Machine, Machines
from tests.node.launcher.shape import AGENT
from tests.node.site import Site
from tests.node.test_webhook import Webhook, chosen


@pytest.fixture(scope="module")
def webhook(kubevirt: Deployment, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    """Installed as docs/injection-webhook.md has it."""
    with kubevirt.installed_by(chosen(tmp_path_factory.mktemp("overlay"))):
        installed = Webhook(site, tmp_path_factory.mktemp("certificates"))
        for script in ("authority", "certificate", "caBundle"):
            installed.run(script)
        installed.wait_ready()
        installed.wait_injects()
        yield installed


@pytest.fixture
def installation(webhook: Webhook, kubevirt: Deployment) -> Deployment:
    """Not the overlay with the policy."""
    return kubevirt


@pytest.fixture
def machine(machines: Machines) -> Machine:
    """A VM that may run on either node."""
    return machines.start(node=None)


def test_a_vm_gets_its_agent_by_the_webhook_and_another_when_it_migrates(
    webhook: Webhook, site: Site, machine: Machine
) -> None:
    """Both pods run with it, and a viewer of either is counted."""
    # Where the API server has no such kind, kubectl prints no name either.
    assert site.cluster.kubectl("get", "mutatingadmissionpolicies", "--output=name", check=False) == ""
    for migrates in (False, True):
        if migrates:
            machine.migrate()
        with machine.virtctl() as virtctl:
            virtctl.view()
            machine.vmi.wait_told(seen(1))
        machine.vmi.wait_told(seen(0))
    for pod in machine.pods():
        assert AGENT in [container["name"] for container in pod["spec"]["initContainers"]]
