"""What the agent is to a launcher's pod: nothing that its VM, its class or its end would depend on."""

import json
import time
from collections.abc import Iterator

import pytest

from testbed.pool import ViewerPool
from testbed.waiting import wait_until
from tests.apiserver.vmis import seen
from tests.cluster.workloads import Workloads
from tests.node.installation import NAMESPACE, TEMPLATE, Installation
from tests.node.launcher.kubevirt import KubeVirt
from tests.node.launcher.shape import AGENT, COMPUTE, IDLE
from tests.node.place import Ability


def test_a_guaranteed_pod_stays_guaranteed(kubevirt: KubeVirt) -> None:
    """Such a VM may have CPUs of its own; a container whose requests are below its limits would cost it these."""
    pod = kubevirt.start(command=IDLE, guaranteed=True).launcher
    pod.wait_started()
    running = pod.object()
    (agent,) = running["spec"]["initContainers"]
    assert running["status"]["qosClass"] == "Guaranteed"
    assert agent["resources"]["requests"] == {"cpu": "100m", "memory": "64Mi"}
    assert agent["resources"]["limits"] == {"cpu": "100m", "memory": "64Mi"}


def test_any_other_pod_asks_for_little(kubevirt: KubeVirt) -> None:
    """What is requested is withheld from VMs."""
    pod = kubevirt.start(command=IDLE).launcher
    pod.wait_started()
    running = pod.object()
    assert running["status"]["qosClass"] == "Burstable"
    assert running["spec"]["initContainers"][0]["resources"]["requests"] == {"cpu": "5m", "memory": "64Mi"}


@pytest.mark.parametrize("command", [IDLE, ()], ids=["no VM yet", "a VM"])
def test_a_pods_deletion_does_not_wait_for_the_agent(kubevirt: KubeVirt, command: tuple[str, ...]) -> None:
    """One that ignored SIGTERM would make it last as long as the pod's 30 s of grace."""
    machine = kubevirt.start(command=command)
    pod = machine.launcher
    pod.wait_started()
    pod.wait_agent("launcher_agent.main: launcher-agent")
    start = time.monotonic()
    pod.delete()
    pod.wait_gone()
    assert time.monotonic() - start < 15


@pytest.mark.parametrize(("status", "phase"), [(0, "Succeeded"), (3, "Failed")])
def test_the_pod_ends_when_the_vm_does(kubevirt: KubeVirt, status: int, phase: str) -> None:
    """The agent is ended then, and has no say in how the pod has ended; here it has only just been started.

    A process 1 does not notice a signal that it has not asked for, and Python takes seconds to come that far.
    """
    pod = kubevirt.start(command=["sh", "-c", f"exit {status}"]).launcher
    wait_until(lambda: pod.phase, lambda seen: seen == phase, what=f"the pod is {phase}", interval=0.1)
    assert "terminated" in pod.container(AGENT)["state"]


@pytest.mark.needs(Ability.LOOK)
def test_an_agent_that_was_killed_comes_back_and_knows_who_is_there(kubevirt: KubeVirt, viewers: ViewerPool) -> None:
    """The VM's container does not notice. Meanwhile the number stays as it was, whatever is known of it."""
    machine = kubevirt.start()
    stays, leaves = viewers.establish(machine.display), viewers.establish(machine.display)
    machine.vmi.wait_told(seen(2))
    with machine.vmi.record_companion() as versions:
        machine.launcher.kill(AGENT)
        wait_until(machine.launcher.restarts, lambda counts: counts == (0, 1), what="the agent was started again")
        machine.launcher.wait_agent("reporting to handler")
        machine.vmi.wait_told(seen(2))
    assert versions.values(lambda companion: companion["status"].get("vncSessions")) == [2]
    leaves.close()
    machine.vmi.wait_told(seen(1))
    assert stays.connected
    assert machine.launcher.restarts() == (0, 1)


@pytest.fixture
def starved(cluster: Workloads, installation: Installation) -> Iterator[None]:
    """New agents are given less memory than a Python takes to start."""

    def give(memory: str) -> None:
        resources = {"requests": {"memory": memory}, "limits": {"memory": memory}}
        patch = {"template": {"spec": {"containers": [{"name": AGENT, "resources": resources}]}}}
        cluster.kubectl("patch", TEMPLATE, f"--namespace={NAMESPACE}", f"--patch={json.dumps(patch)}")

    give("10Mi")
    yield
    give("64Mi")


def test_an_agent_that_never_comes_up_is_no_harm(starved: None, kubevirt: KubeVirt, viewers: ViewerPool) -> None:
    """Killed for its memory, again and again: the VM starts, runs on, and goes as if there were no agent."""
    machine = kubevirt.start()
    pod = machine.launcher

    def killed() -> tuple[str, int]:
        agent = pod.container(AGENT)
        return agent["lastState"].get("terminated", {}).get("reason", ""), agent["restartCount"]

    wait_until(killed, lambda seen: seen[0] == "OOMKilled" and seen[1] >= 2, what="it was killed twice", timeout=60)
    assert viewers.establish(machine.display).connected
    assert pod.container(COMPUTE)["restartCount"] == 0
    assert "running" in pod.container(COMPUTE)["state"]
    start = time.monotonic()
    pod.delete()
    pod.wait_gone()
    assert time.monotonic() - start < 15
