"""The agent's effects on a launcher's pod: its VM, its class and its end do not depend on the agent."""

import json
import time
from collections.abc import Iterator

import pytest

from testbed.pool import ViewerPool
from testbed.waiting import wait_until
from tests.apiserver.vmis import seen
from tests.cluster.objects import Object
from tests.cluster.workloads import Workloads
from tests.node.installation import NAMESPACE, TEMPLATE, Installation
from tests.node.launcher.kubevirt import KubeVirt
from tests.node.launcher.shape import AGENT, COMPUTE, IDLE
from tests.node.place import Ability
from tests.node.pods import NodePod

#: Seconds of grace that a launcher's pod has: `terminationGracePeriodSeconds` in tests/node/launcher/shape.py.
GRACE = 30.0


def test_a_guaranteed_pod_stays_guaranteed(kubevirt: KubeVirt) -> None:
    """Such a VM may have exclusive CPUs; a container whose requests are below its limits would cost it these."""
    pod = kubevirt.start(command=IDLE, guaranteed=True).launcher
    pod.wait_started()
    running = pod.object()
    (agent,) = running["spec"]["initContainers"]
    assert running["status"]["qosClass"] == "Guaranteed"
    assert agent["resources"]["requests"] == {"cpu": "100m", "memory": "64Mi"}
    assert agent["resources"]["limits"] == {"cpu": "100m", "memory": "64Mi"}


def test_any_other_pod_asks_for_little(kubevirt: KubeVirt) -> None:
    """What is requested is not available to VMs."""
    pod = kubevirt.start(command=IDLE).launcher
    pod.wait_started()
    running = pod.object()
    assert running["status"]["qosClass"] == "Burstable"
    assert running["spec"]["initContainers"][0]["resources"]["requests"] == {"cpu": "10m", "memory": "32Mi"}


@pytest.mark.parametrize("command", [IDLE, ()], ids=["no VM yet", "a VM"])
def test_a_pods_deletion_does_not_wait_for_the_agent(kubevirt: KubeVirt, command: tuple[str, ...]) -> None:
    """An agent that ignored SIGTERM would prolong it by the pod's 30 s of grace."""
    machine = kubevirt.start(command=command)
    pod = machine.launcher
    pod.wait_started()
    pod.wait_agent("launcher_agent.main: launcher-agent")
    start = time.monotonic()
    pod.delete()
    pod.wait_gone()
    assert time.monotonic() - start < GRACE


@pytest.mark.parametrize(("status", "phase"), [(0, "Succeeded"), (3, "Failed")])
def test_the_pod_ends_when_the_vm_does(kubevirt: KubeVirt, status: int, phase: str) -> None:
    """The agent is ended then, without an effect on the pod's phase; here it has only just been started.

    A process 1 ignores a signal without a handler, and Python needs seconds until it has one.
    """
    pod = kubevirt.start(command=["sh", "-c", f"exit {status}"]).launcher
    wait_until(lambda: pod.phase, lambda seen: seen == phase, what=f"the pod is {phase}", interval=0.1)
    assert "terminated" in pod.container(AGENT)["state"]


def test_a_pod_that_is_deleted_as_its_agent_starts_is_gone_at_once(kubevirt: KubeVirt) -> None:
    """Python needs a quarter of a second of CPU time before it can handle a signal; process 1 needs none."""
    pod = kubevirt.start(command=IDLE).launcher
    running = "the agent's container has started"
    wait_until(lambda: "running" in pod.container(AGENT).get("state", {}), what=running, interval=0.01)
    start = time.monotonic()
    pod.delete()
    pod.wait_gone()
    assert time.monotonic() - start < GRACE


def readiness(pod: Object) -> str:
    """Return the status of a pod's condition Ready."""
    statuses: dict[str, str] = {c["type"]: c["status"] for c in pod["status"].get("conditions", ())}
    return statuses.get("Ready", "")


def wait_ready(pod: NodePod) -> None:
    wait_until(pod.object, lambda seen: readiness(seen) == "True", what=f"{pod.name} is Ready", interval=0.1)


def starts_again(pod: NodePod) -> int:
    """Return how often process 1 of the agent's container has announced that it starts the agent again."""
    return pod.log(AGENT).count("it is started again in ")


@pytest.mark.needs(Ability.LOOK)
def test_an_agent_that_was_killed_comes_back_and_knows_who_is_there(kubevirt: KubeVirt, viewers: ViewerPool) -> None:
    """The pod stays Ready, and no container is restarted. Until then the published number stays as it was."""
    machine = kubevirt.start()
    pod = machine.launcher
    stays, leaves = viewers.establish(machine.display), viewers.establish(machine.display)
    machine.vmi.wait_told(seen(2))
    wait_ready(pod)
    with machine.vmi.record_companion() as versions, pod.record() as pods:
        (before,) = pod.children(AGENT)
        pod.kill_agent()
        wait_until(lambda: starts_again(pod), lambda count: count == 1, what="the agent was started again")
        wait_until(
            lambda: pod.log(AGENT).count("reporting to handler"), lambda count: count == 2, what="it reports again"
        )
        machine.vmi.wait_told(seen(2))
    assert pod.children(AGENT) != [before]
    assert versions.values(lambda companion: companion["status"].get("vncSessions")) == [2]
    assert pods.values(readiness) == ["True"]
    leaves.close()
    machine.vmi.wait_told(seen(1))
    assert stays.connected
    assert pod.restarts() == (0, 0)


@pytest.fixture
def starved(cluster: Workloads, installation: Installation) -> Iterator[None]:
    """New agents get less memory than a Python needs to start."""

    resources = {"requests": {"memory": "10Mi"}, "limits": {"memory": "10Mi"}}
    patch = json.dumps([{"op": "replace", "path": "/spec/containers/0/resources", "value": resources}])
    cluster.kubectl("patch", TEMPLATE, f"--namespace={NAMESPACE}", "--type=json", f"--patch={patch}")
    yield
    installation.restore()


def test_an_agent_that_never_comes_up_is_no_harm(starved: None, kubevirt: KubeVirt, viewers: ViewerPool) -> None:
    """It fails for lack of memory again and again: the VM starts, is Ready, runs on, and ends as if it had no agent.

    It ends with a failed allocation of its own. If the kernel had to kill it, cgroup v2 would end process 1 too.
    """
    machine = kubevirt.start()
    pod = machine.launcher
    wait_ready(pod)
    with pod.record() as pods:
        wait_until(lambda: starts_again(pod), lambda count: count >= 6, what="it has ended six times", timeout=120)
        assert viewers.establish(machine.display).connected
    assert pods.values(readiness) == ["True"]
    assert pod.restarts() == (0, 0)
    assert "signal 9" not in pod.log(AGENT)
    assert "running" in pod.container(COMPUTE)["state"]
    start = time.monotonic()
    pod.delete()
    pod.wait_gone()
    assert time.monotonic() - start < GRACE


@pytest.mark.needs(Ability.LOOK)
def test_the_agent_sees_no_token_where_the_vm_has_one(kubevirt: KubeVirt) -> None:
    """A VMI with a serviceAccount volume, or with Istio, mounts its token into each container of its pod."""
    pod = kubevirt.start(command=IDLE, automount=True).launcher
    pod.wait_started()
    folder = "var/run/secrets/kubernetes.io/serviceaccount"
    roots = {name: f"/proc/{pod.process(name)}/root/{folder}" for name in (COMPUTE, AGENT)}
    listed = {name: pod.node.exec("ls", root).split() for name, root in roots.items()}
    assert listed == {COMPUTE: ["ca.crt", "namespace", "token"], AGENT: []}
