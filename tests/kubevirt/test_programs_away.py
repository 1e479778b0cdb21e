"""KubeVirt's programs and the project's are killed and replaced while a viewer is connected: never a wrong 0."""

import pytest

from testbed.promises import SHOWN_WITHIN
from testbed.sampler import Sampler
from testbed.waiting import wait_until
from tests.apiserver.vmis import seen, told
from tests.kubevirt.deployment import Deployment
from tests.kubevirt.machines import AGENT, Machine

# virt-launcher starts virtqemud again after a second, the kubelet starts the agent at once; both need 3 s, and up to 10
# on two busy cores.
BACK = 60.0
#: Values of Observed and Idle that are permitted while it is not known whether a viewer is connected.
IDLE = "True"


def assert_never_idle(samples: Sampler[tuple[int | None, str, str, str] | None]) -> None:
    """A viewer is connected all the time: the number stays 1, and Idle is never True."""
    for value in samples.values:
        assert value is not None, str(samples)
        assert (value[0], value[1] == IDLE) == (1, False), str(samples)


def test_a_paused_vm_keeps_its_viewers(idle_machine: Machine) -> None:
    """`virtctl pause` and `unpause` change nothing, and while it is paused viewers come and go."""
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
    """virt-launcher starts it again, the agent finds it, and the number includes what happened meanwhile."""
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
    """Its container's process 1 starts it again. The VM is not affected, and the connected viewer is found."""
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
    """A viewer that this cuts off is gone soon, and later ones are counted. All programs: an upgrade of KubeVirt."""
    with idle_machine.virtctl() as virtctl:
        viewer = virtctl.view()
        idle_machine.vmi.wait_told(seen(1))
        installation.rollout(*programs)
        if not viewer.connected:
            idle_machine.vmi.wait_told(seen(0), timeout=SHOWN_WITHIN)
    idle_machine.vmi.wait_told(seen(0), timeout=SHOWN_WITHIN)
    with idle_machine.virtctl() as another:
        another.view()
        idle_machine.vmi.wait_told(seen(1))
    assert idle_machine.phase == "Running"


def test_a_guest_crashes(machine: Machine) -> None:
    """QEMU ends with its viewers without reporting them: the number is absent."""
    with machine.virtctl() as virtctl:
        virtctl.view()
        machine.vmi.wait_told(seen(1))
        machine.kill_in_pod("qemu-system-x86")
        ended = "KubeVirt notices"
        wait_until(lambda: machine.phase, lambda phase: phase in {"Failed", "Succeeded"}, what=ended, timeout=BACK)
        idle = "no viewer is shown"
        wait_until(
            machine.vmi.told, lambda value: value is not None and value[0] is None, what=idle, timeout=SHOWN_WITHIN
        )
