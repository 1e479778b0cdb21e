"""The agent's container on a node with cgroup v2 alone, which every supported node has: memory, limits, and ends.

The order of the tests does not matter: each leaves the pods that they share as it found them, Ready and with an agent.
"""

import os
import signal
import sys
from pathlib import Path

import pytest

from testbed.pool import ViewerPool
from testbed.waiting import wait_until
from tests.cluster.commands import run
from tests.node.launcher.shape import AGENT, COMPUTE, IDLE
from tests.node_v2.kubelet import Kubelet
from tests.node_v2.pods import CGROUPS, StaticPod

MIB = 1024 * 1024
# Of the LauncherAgentTemplate.
LIMIT = 64 * MIB
# What launcher_supervisor.c leaves to the kernel.
KERNEL = 4 * MIB
# Enters the cgroup, as the kernel's first choice there, fills more than the limit, and prints the status of its end.
EXCEED = """
sh -c 'echo 1000 > /proc/self/oom_score_adj; echo $$ > "$1/cgroup.procs"; exec dd if=/dev/zero of=/dev/null bs=128M' \
  sh "$1" 2> /dev/null
echo $?
"""


def read(pod: StaticPod, file: str) -> str:
    return (pod.cgroup(AGENT) / file).read_text().strip()


def data_limit(process: int) -> str:
    """See proc_pid_limits(5)."""
    lines = Path(f"/proc/{process}/limits").read_text().splitlines()
    return next(line.removeprefix("Max data size").split()[0] for line in lines if line.startswith("Max data size"))


def test_the_machine_has_cgroup_v2_alone(kubelet: Kubelet) -> None:
    """And the kubelet is one that refuses v1."""
    kinds = {line.split(" - ")[1].split()[0] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    assert "cgroup2" in kinds
    assert "cgroup" not in kinds
    assert {"cpu", "memory", "pids"} <= set((CGROUPS / "cgroup.controllers").read_text().split())


def test_viewers_are_counted_with_room_below_the_limit(launcher: StaticPod, viewers: ViewerPool) -> None:
    """From QEMU's socket to the agent's answer. What cannot be reclaimed is below half of the container's limit."""
    viewer = viewers.establish(launcher.display)
    launcher.wait_sessions(1)
    viewers.establish(launcher.display)
    launcher.wait_sessions(2)
    show_memory(launcher, "that counts two viewers")
    viewer.close()
    launcher.wait_sessions(1)


def show_memory(pod: StaticPod, which: str) -> None:
    """Print what is charged to the agent's container, and compare it with the limit."""
    usage, peak = int(read(pod, "memory.current")), int(read(pod, "memory.peak"))
    stat = {name: int(value) for name, value in map(str.split, read(pod, "memory.stat").splitlines())}
    parts = ", ".join(f"{name} {stat[name] / MIB:.1f}" for name in ("anon", "file", "kernel"))
    sys.stdout.write(f"an agent {which}: memory.current {usage / MIB:.1f} MiB, memory.peak {peak / MIB:.1f}: {parts}\n")
    assert stat["anon"] + stat["kernel"] < LIMIT / 2
    # Page cache may fill the limit: the kernel reclaims it there.
    assert usage <= LIMIT


def test_an_agent_fails_to_allocate_before_the_kernel_would_kill_it(waiting: StaticPod) -> None:
    """Process 1 reads the limit from its cgroup, and limits the agent's data below it; its own is not limited."""
    assert read(waiting, "memory.max") == str(LIMIT)
    assert data_limit(waiting.agent()) == str(LIMIT - KERNEL)
    assert data_limit(waiting.process(AGENT)) == "unlimited"
    show_memory(waiting, "that waits for libvirt")


def test_an_agent_that_is_killed_comes_back_and_the_pod_stays_ready(waiting: StaticPod) -> None:
    """A signal to one process is no matter of its cgroup: process 1 starts the agent again, in the same container."""
    ready = waiting.wait_ready()
    container, agent = waiting.container(AGENT)["containerID"], waiting.agent()
    starts, ends = waiting.starts(), waiting.ends()
    os.kill(agent, signal.SIGKILL)
    wait_until(waiting.starts, lambda count: count == starts + 1, what="the agent runs again", interval=0.5)
    assert waiting.ends() == ends + 1
    assert waiting.agent() != agent
    assert waiting.container(AGENT)["containerID"] == container
    assert waiting.ready == ready


def test_where_the_kernel_kills_for_memory_only_the_agents_container_ends(waiting: StaticPod) -> None:
    """A process without the agent's own limit exceeds the container's: the kernel kills all of the container.

    Process 1 too, so the pod is not Ready until the kubelet has started the container again.
    """
    ready = waiting.wait_ready()
    restarts, starts = waiting.restarts(AGENT), waiting.starts()
    compute = waiting.container(COMPUTE)["containerID"]
    assert read(waiting, "memory.oom.group") == "1"
    first, agent = waiting.process(AGENT), waiting.agent()
    assert run("sh", "-c", EXCEED, "sh", waiting.cgroup(AGENT)) == "137\n"
    again = "the kubelet has started it again"
    wait_until(lambda: waiting.restarts(AGENT), lambda count: count == restarts + 1, what=again, interval=0.5)
    assert not any(Path(f"/proc/{process}").exists() for process in (first, agent))
    ended = waiting.container(AGENT)["lastState"]["terminated"]
    assert ended["reason"] == "OOMKilled"
    wait_until(waiting.starts, lambda count: count == starts + 1, what="the agent runs again", interval=0.5)
    since = waiting.wait_ready()["lastTransitionTime"]
    sys.stdout.write(f"killed at {ended['finishedAt']}; the pod is Ready again since {since}\n")
    assert since > ready["lastTransitionTime"]
    assert waiting.container(COMPUTE)["containerID"] == compute


def test_an_agent_that_never_comes_up_is_no_harm(kubelet: Kubelet, links: Path) -> None:
    """With less memory than a Python needs it ends with a failed allocation of its own, again and again."""
    little = {"requests": {"cpu": "10m", "memory": "10Mi"}, "limits": {"cpu": "100m", "memory": "10Mi"}}
    with StaticPod(kubelet, "starved", links, command=IDLE, resources=little) as pod:
        ready = pod.wait_ready()
        wait_until(pod.ends, lambda count: count >= 3, what="it has ended three times", timeout=120)
        assert pod.ready == ready
        assert pod.restarts(AGENT) == 0
        assert pod.signals() == 0
        assert "oom_kill 0" in read(pod, "memory.events").splitlines()


@pytest.mark.parametrize("guaranteed", [True, False])
def test_the_agent_keeps_its_pods_class(kubelet: Kubelet, links: Path, guaranteed: bool) -> None:
    """A Guaranteed pod's cgroup is beside those of the other classes, and its weight is its requests."""
    name = "guaranteed" if guaranteed else "burstable"
    with StaticPod(kubelet, name, links, command=IDLE, guaranteed=guaranteed) as pod:
        pod.wait_ready()
        assert pod.status["qosClass"] == ("Guaranteed" if guaranteed else "Burstable")
        folder = pod.cgroup(AGENT).relative_to(CGROUPS).parts[:-1]
        assert folder == (("kubepods", f"pod{pod.uid}") if guaranteed else ("kubepods", "burstable", f"pod{pod.uid}"))
        assert read(pod, "memory.max") == str(LIMIT)
        # A tenth of a CPU in each period of 0.1 s.
        assert read(pod, "cpu.max") == "10000 100000"
        sys.stdout.write(f"cpu.weight {read(pod, 'cpu.weight')}\n")
