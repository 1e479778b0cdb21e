"""Viewers connect by `virtctl vnc` and leave, and `kubectl get vmiss` follows: the promise of VEP #119 on KubeVirt."""

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from testbed.grpcurl import Watch
from testbed.promises import SHOWN_WITHIN
from testbed.sampler import Sampler
from testbed.waiting import wait_until
from tests.apiserver.vmis import seen, told
from tests.cluster.cluster import Cluster
from tests.kubevirt.machines import AGENT, COMPUTE, Machine
from tests.kubevirt.persistent import FALL_DELAY
from tests.kubevirt.virtctl import VncProxy

# Longer than every delay of the publisher (1 s for a fall), so that a wrong value would be written and seen.
PAUSE = 1.5
# The publisher's delay of a rise if a viewer is connected.
RISE_DELAY = 0.3


def row(cluster: Cluster, machine: Machine) -> tuple[str, str, str]:
    """Return SESSIONS, OBSERVED and IDLE of `kubectl get vmiss`."""
    vmi = machine.vmi
    header, line = cluster.kubectl("get", "vmiss", vmi.name, f"--namespace={vmi.namespace}").splitlines()
    starts = [header.index(column) for column in ("SESSIONS", "OBSERVED", "IDLE", "SINCE")]
    sessions, observed, idle = (line[start:end].strip() for start, end in itertools.pairwise(starts))
    return sessions, observed, idle


def test_a_vm_boots_with_the_agent_in_its_pod(idle_machine: Machine) -> None:
    """KubeVirt's container and the agent run, neither was restarted, and KubeVirt reports the VM as ready."""
    idle_machine.vmi.wait_told(seen(0))
    pod = idle_machine.pod
    assert AGENT in [container["name"] for container in pod.object()["spec"]["initContainers"]]
    assert {name: pod.container(name)["restartCount"] for name in (AGENT, COMPUTE)} == {AGENT: 0, COMPUTE: 0}
    ready = "KubeVirt says that it is ready"
    wait_until(idle_machine.conditions, lambda conditions: conditions.get("Ready") == "True", what=ready)


def test_a_viewer_comes_and_goes(cluster: Cluster, idle_machine: Machine) -> None:
    """Absent, 1, absent, in kubectl's output."""
    idle_machine.vmi.wait_told(seen(0))
    assert row(cluster, idle_machine) == ("", "True", "True")
    with idle_machine.vmi.record_companion() as versions:
        with idle_machine.virtctl() as virtctl:
            virtctl.view()
            idle_machine.vmi.wait_told(seen(1))
            assert row(cluster, idle_machine) == ("1", "True", "False")
        idle_machine.vmi.wait_told(seen(0))
    assert row(cluster, idle_machine) == ("", "True", "True")
    assert versions.values(told) == [seen(0), seen(1), seen(0)]


@contextmanager
def watched_throughout(machine: Machine) -> Iterator[None]:
    """Each version of the companion, and each sample of it, shows 1.

    virt-handler closes the old connection while it dials the new one. QEMU sees the new one first, except on a busy
    machine: there no viewer may be connected for a moment, or the old one for longer. A state that the agent saw for
    less than the publisher's delay does not show.
    """
    with machine.watch_agent() as agent:
        wait_until(lambda: agent.messages, what="the agent has sent its state")
        with (
            Sampler(lambda: sessions(agent)) as counted,
            machine.vmi.record_companion() as versions,
            Sampler(machine.vmi.told) as samples,
        ):
            yield
    lateness = counted.longest_gap + samples.longest_gap
    permitted = {seen(1)}
    for count, delay in ((0, FALL_DELAY), (2, RISE_DELAY)):
        if longest(counted, count) + lateness >= delay:
            permitted.add(seen(count))
    for values in (samples.values, versions.values(told)):
        assert set(values) <= permitted, f"agent: {counted}; companion: {samples}"
        assert values[-1] == seen(1)


def sessions(agent: Watch) -> int:
    """Return the number in the last message."""
    return int(agent.messages[-1]["status"]["services"][0].get("sessions", 0))


def longest(counted: Sampler[int], count: int) -> float:
    """Return for how many seconds it had that value, at most, at a time."""
    changes = itertools.pairwise(counted.changes)
    return max((after.at - one.at for one, after in changes if one.value == count), default=0.0)


def take_over(machine: Machine, times: int, begin: Callable[[VncProxy, VncProxy], object]) -> None:
    """Each new virtctl disconnects the one before it; `begin(first, second)` starts the second one's viewer."""
    with ExitStack() as virtctls:
        first = virtctls.enter_context(machine.virtctl())
        first.view()
        machine.vmi.wait_told(seen(1))
        with watched_throughout(machine):
            for _ in range(times):
                second = virtctls.enter_context(machine.virtctl())
                begin(first, second)
                # A takeover of its own: with five within half a second, QEMU may see two connected all the time.
                time.sleep(PAUSE)
                first.kill()
                first = second


def test_a_takeover_does_not_show(idle_machine: Machine) -> None:
    """Three times virtctl disconnects the first one, and its viewer begins a while after it: 1 all the time."""

    def begin_late(first: VncProxy, second: VncProxy) -> None:
        second.wait_listening()
        assert first.viewer is not None
        first.viewer.wait_closed()
        time.sleep(PAUSE)  # the time without a handshake is tested
        second.view()

    take_over(idle_machine, 3, begin_late)
    idle_machine.vmi.wait_told(seen(0))


def test_a_viewer_that_begins_at_once_takes_over_unseen(idle_machine: Machine) -> None:
    """A desktop viewer does this."""
    take_over(idle_machine, 5, lambda _, second: second.view())


def test_a_viewer_that_is_refused_does_not_show(idle_machine: Machine) -> None:
    """`--preserve-session` while a viewer is connected."""
    with idle_machine.virtctl() as first:
        viewer = first.view()
        idle_machine.vmi.wait_told(seen(1))
        with Sampler(idle_machine.vmi.told) as samples, idle_machine.virtctl(preserve=True) as second:
            second.wait_refused()
            time.sleep(PAUSE)
        assert samples.values == [seen(1)], str(samples)
        assert viewer.connected


def test_a_virtctl_that_is_killed_is_gone(idle_machine: Machine) -> None:
    """SIGKILL, so that no end of the session is sent."""
    with idle_machine.virtctl() as virtctl:
        virtctl.view()
        idle_machine.vmi.wait_told(seen(1))
        virtctl.signal(signal.SIGKILL)
        idle_machine.vmi.wait_told(seen(0), timeout=SHOWN_WITHIN)


def test_a_viewer_that_is_cut_off_is_gone(idle_machine: Machine) -> None:
    """TCP is reset behind virtctl, which still runs then."""
    with idle_machine.virtctl() as virtctl:
        viewer = virtctl.view()
        idle_machine.vmi.wait_told(seen(1))
        viewer.abort()
        idle_machine.vmi.wait_told(seen(0), timeout=SHOWN_WITHIN)


def test_a_virtctl_without_a_viewer_is_nobody(idle_machine: Machine) -> None:
    """It has connected to the VM, without a viewer."""
    idle_machine.vmi.wait_told(seen(0))
    with Sampler(idle_machine.vmi.told) as samples, idle_machine.virtctl() as virtctl:
        virtctl.wait_listening()
        time.sleep(PAUSE)
    assert samples.values == [seen(0)], str(samples)
