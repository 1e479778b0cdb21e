"""Programs of KubeVirt's and ours are killed and replaced with a viewer connected: the value is right, or stays."""

import pytest

from testbed.sampler import Sampler
from testbed.waiting import wait_until
from tests.apiserver.vmis import seen, told
from tests.kubevirt.deployment import Deployment
from tests.kubevirt.machines import AGENT, Machine

# virt-launcher starts virtqemud again after a second, kubelet the agent at once; both start within 3 s, and within 10
# on two busy cores.
BACK = 60.0
#: Of Observed and Idle: what may be said while nobody can know. What may not is that nobody is there.
IDLE = "True"


def assert_never_idle(samples: Sampler[tuple[int | None, str, str, str] | None]) -> None:
    """Somebody is connected all the time: the number stays 1, and nobody is told to be gone."""
    for value in samples.values:
        assert value is not None, str(samples)
        assert (value[0], value[1] == IDLE) == (1, False), str(samples)


def test_a_paused_vm_keeps_its_viewers(idle_machine: Machine) -> None:
    """Nothing changes by `virtctl pause` and `unpause`, and while it is paused viewers come and go."""
    with idle_machine.virtctl() as virtctl:
        virtctl.view()
        idle_machine.vmi.wait_told(seen(1))
        with idle_machine.vmi.record_companion() as versions:
            idle_machine.do("pause", "vmi")
            paused = "the VM is paused"
            wait_until(lambda: idle_machine.conditions().get("Paused"), lambda status: status == "True", what=paused)
            unpause(idle_machine)
        assert versions.values(told) == [seen(1)]
        idle_machine.do("pause", "vmi")
    idle_machine.vmi.wait_told(seen(0))
    with idle_machine.virtctl() as virtctl:
        virtctl.view()
        idle_machine.vmi.wait_told(seen(1))
    unpause(idle_machine)


def unpause(machine: Machine) -> None:
    machine.do("unpause", "vmi")
    running = "the VM runs on"
    wait_until(lambda: machine.conditions().get("Paused", ""), lambda status: not status, what=running)


def test_virtqemud_is_killed(idle_machine: Machine) -> None:
    """virt-launcher starts it again, the agent finds it, and who came meanwhile or has gone is known afterwards."""
    with idle_machine.virtctl() as virtctl:
        viewer = virtctl.view()
        idle_machine.vmi.wait_told(seen(1))
        before = idle_machine.processes("libvirtd")
        with Sampler(idle_machine.vmi.told) as samples:
            idle_machine.kill_in_pod("libvirtd")
            again = "virtqemud runs again"
            wait_until(
                lambda: idle_machine.processes("libvirtd"), lambda now: now and now != before, what=again, interval=0.2
            )
            watching = "the agent watches again"
            wait_until(idle_machine.vmi.told, lambda value: value == seen(1), what=watching, timeout=BACK)
        assert_never_idle(samples)
        assert viewer.connected
    idle_machine.vmi.wait_told(seen(0), timeout=BACK)
    with idle_machine.virtctl() as virtctl:
        virtctl.view()
        idle_machine.vmi.wait_told(seen(1))
    assert idle_machine.phase == "Running"


def test_the_agent_is_killed(idle_machine: Machine) -> None:
    """Its container's process 1 starts it again. The VM does not notice, and the viewer that is there is found."""
    with idle_machine.virtctl() as virtctl:
        viewer = virtctl.view()
        idle_machine.vmi.wait_told(seen(1))
        pod = idle_machine.pod
        before = pod.log(AGENT).count("reporting to handler")
        with Sampler(idle_machine.vmi.told) as samples:
            pod.kill_agent()
            wait_until(
                lambda: pod.log(AGENT).count("reporting to handler"),
                lambda count: count > before,
                what="the agent reports again",
                timeout=BACK,
            )
            assert pod.container(AGENT)["restartCount"] == 0
            idle_machine.vmi.wait_told(seen(1), timeout=BACK)
        assert_never_idle(samples)
        assert viewer.connected
    idle_machine.vmi.wait_told(seen(0), timeout=BACK)
    assert idle_machine.phase == "Running"


ALL_OF_KUBEVIRT = (
    *("deployment/virt-operator", "deployment/virt-api", "deployment/virt-controller"),
    "daemonset/virt-handler",
)


@pytest.mark.parametrize(
    "programs",
    [("daemonset/virt-handler",), ("deployment/virt-api",), ALL_OF_KUBEVIRT],
    ids=["virt-handler", "virt-api", "all"],
)
def test_programs_of_kubevirts_are_replaced(
    idle_machine: Machine, installation: Deployment, programs: tuple[str, ...]
) -> None:
    """Who is cut off by it is gone soon, and who comes afterwards is counted. All of them: an upgrade of KubeVirt's."""
    with idle_machine.virtctl() as virtctl:
        viewer = virtctl.view()
        idle_machine.vmi.wait_told(seen(1))
        installation.rollout(*programs)
        if not viewer.connected:
            idle_machine.vmi.wait_told(seen(0), timeout=10)
    idle_machine.vmi.wait_told(seen(0), timeout=10)
    with idle_machine.virtctl() as another:
        another.view()
        idle_machine.vmi.wait_told(seen(1))
    assert idle_machine.phase == "Running"


def test_a_guest_crashes(machine: Machine) -> None:
    """QEMU ends with its viewers and says nothing of them: nobody is at a screen that is no more."""
    with machine.virtctl() as virtctl:
        virtctl.view()
        machine.vmi.wait_told(seen(1))
        machine.kill_in_pod("qemu-system-x86")
        ended = "KubeVirt notices"
        wait_until(lambda: machine.phase, lambda phase: phase in {"Failed", "Succeeded"}, what=ended, timeout=BACK)
        idle = "nobody is there"
        wait_until(machine.vmi.told, lambda value: value is not None and value[0] is None, what=idle, timeout=10)
