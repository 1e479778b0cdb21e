"""Launcher pods with their agent, as the kubelet of this VM runs them, and what the kernel says of their cgroups."""

import copy
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import grpc
import yaml

from injection_webhook.injection import decide
from servicestatus.v1 import agent_status_service_pb2 as pb
from servicestatus.v1 import agent_status_service_pb2_grpc as rpc
from servicestatus.v1.sessions_pb2 import OBSERVATION_REASON_WATCHING
from testbed.addresses import UnixAddress
from testbed.waiting import scaled, wait_until
from tests.cluster.objects import Object
from tests.cluster.tools import REPOSITORY
from tests.node.launcher.shape import AGENT, VNC, launcher
from tests.node_v2.kubelet import Kubelet

TEMPLATE = REPOSITORY / "manifests/base/agent-template.yaml"
CGROUPS = Path("/sys/fs/cgroup")


class StaticPod:
    """A launcher pod; as a context manager it is started, and gone at the end."""

    def __init__(
        self,
        kubelet: Kubelet,
        name: str,
        links: Path,
        *,
        command: Sequence[str] = (),
        guaranteed: bool = False,
        resources: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """`links` is a short folder: a socket's path holds 107 bytes. `resources` are the agent's."""
        self._kubelet = kubelet
        self.name = name
        self.vmi_uid = str(uuid.uuid4())
        vmi = {"metadata": {"name": name, "namespace": "default", "uid": self.vmi_uid}}
        pod = launcher(kubelet, vmi, command=command, guaranteed=guaranteed)
        pod["metadata"] |= {"name": name, "uid": str(uuid.uuid4())}
        self.manifest = injected(pod, resources)
        self.uid: str = pod["metadata"]["uid"]
        self._link = links / name

    def __enter__(self) -> "StaticPod":
        self._kubelet.run(self.manifest)
        volumes = Path("/var/lib/kubelet/pods", self.uid, "volumes/kubernetes.io~empty-dir")
        self._link.symlink_to(volumes)
        return self

    def __exit__(self, *_: object) -> None:
        self._kubelet.end(self.name)
        wait_until(self._kubelet.pods, lambda pods: self.name not in pods, what=f"{self.name} is gone", interval=1)
        self._link.unlink()

    # --- what the kubelet reports ---

    @property
    def status(self) -> Object:
        """The pod's status, empty before the kubelet has one."""
        return cast("Object", self._kubelet.pods().get(self.name, {}).get("status", {}))

    def container(self, name: str) -> Object:
        """A container's status; empty as long as there is none."""
        statuses = [*self.status.get("initContainerStatuses", ()), *self.status.get("containerStatuses", ())]
        return next((status for status in statuses if status["name"] == name), {})

    def restarts(self, name: str) -> int:
        return int(self.container(name).get("restartCount", 0))

    @property
    def ready(self) -> Mapping[str, Any]:
        """The condition Ready, which has the time of its last change."""
        conditions = self.status.get("conditions", ())
        return next((condition for condition in conditions if condition["type"] == "Ready"), {})

    def wait_ready(self) -> Mapping[str, Any]:
        return wait_until(
            lambda: self.ready, lambda now: now.get("status") == "True", what=f"{self.name} is Ready", interval=0.5
        )

    def starts(self) -> int:
        """Return how many agents have started in the agent's container, by its logs."""
        return self._log().count(" launcher_agent.main: launcher-agent ")

    def ends(self) -> int:
        """Return how often process 1 of the agent's container has announced that it starts the agent again."""
        return self._log().count("it is started again in ")

    def signals(self) -> int:
        """Return how many agents have ended by SIGKILL."""
        return self._log().count("signal 9")

    def _log(self) -> str:
        return self._kubelet.log_of(self.manifest, AGENT)

    # --- what the agent reports ---

    @property
    def display(self) -> UnixAddress:
        return UnixAddress(self._link / "private" / VNC.format(uid=self.vmi_uid))

    def wait_display(self) -> None:
        wait_until(self.display.path.exists, what=f"the VM of {self.name} runs", timeout=90, interval=0.5)

    def sessions(self) -> int | None:
        """The viewers that the agent counts; None while it observes nothing."""
        with grpc.insecure_channel(f"unix:{self._link / 'service-status/agent.sock'}") as channel:
            ask = rpc.AgentStatusServiceStub(channel).GetAgentStatus
            status = ask(pb.GetAgentStatusRequest(), timeout=scaled(2)).status
        if status.observation.reason != OBSERVATION_REASON_WATCHING or not status.services:
            return None
        return int(status.services[0].sessions)

    def wait_sessions(self, number: int) -> None:
        what = f"the agent counts {number}"
        wait_until(self.sessions, lambda seen: seen == number, what=what, interval=1, retry_on=(grpc.RpcError,))

    # --- what the kernel reports ---

    def process(self, container: str) -> int:
        """The container's process 1 by its number in this VM."""
        identity = self.container(container)["containerID"].rpartition("/")[2]
        tasks = (line.split() for line in self._kubelet.ctr("tasks", "list").splitlines()[1:])
        return next(int(task[1]) for task in tasks if task[0] == identity)

    def agent(self) -> int:
        """The agent's Python, the one child of process 1."""
        first = self.process(AGENT)
        (child,) = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return int(child)

    def cgroup(self, container: str) -> Path:
        (line,) = Path(f"/proc/{self.process(container)}/cgroup").read_text().splitlines()
        return CGROUPS / line.removeprefix("0::/")


def injected(pod: Object, resources: Mapping[str, Mapping[str, str]] | None) -> Object:
    """Return the pod with what the webhook adds; the policy adds the same (tests/apiserver/injection/test_alike.py)."""
    template = yaml.safe_load(TEMPLATE.read_text())
    if resources:
        template["spec"]["containers"][0]["resources"] = resources
    changed = copy.deepcopy(pod)
    for step in decide(pod, template).patch:
        assert step["op"] == "add"
        *folders, last = step["path"].strip("/").split("/")
        inside: Any = changed
        for folder in folders:
            inside = inside[folder]
        if last == "-":
            inside.append(step["value"])
        else:
            inside[last] = step["value"]
    return changed
