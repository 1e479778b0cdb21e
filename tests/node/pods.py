"""A pod as its node sees it: its directories, its processes, and the memory charged to its cgroups."""

from pathlib import Path
from typing import cast

from testbed.waiting import wait_until
from tests.cluster.node import Node
from tests.cluster.objects import Object
from tests.node.place import Place

# A pod whose image is present runs within 2 s, 20 of them at once on two busy cores within half a minute.
TIMEOUT = 60.0


class NodePod:
    """One pod on the place's node, which may have ended since."""

    def __init__(self, site: Place, created: Object) -> None:
        """`created` as the API server has stored it."""
        self._site = site
        self.name: str = created["metadata"]["name"]
        self.namespace: str = created["metadata"]["namespace"]
        self.uid: str = created["metadata"]["uid"]
        self._path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    def volume(self, name: str) -> Path:
        """Return an emptyDir's path on this machine, short enough for a socket in it."""
        return self._site.volumes(self.uid) / name

    @property
    def agent_socket(self) -> Path:
        """The socket of the agent's debug API, if there is an agent."""
        return self.volume("service-status") / "agent.sock"

    # --- what the API server reports ---

    def find(self) -> Object | None:
        """Return the pod, or None when it is gone."""
        found = self._site.client.find(self._path)
        return found if found is not None and found["metadata"]["uid"] == self.uid else None

    def object(self) -> Object:
        found = self.find()
        assert found is not None, f"{self.namespace}/{self.name} is gone"
        return found

    def container(self, name: str) -> Object:
        """A container's status; empty as long as there is none."""
        return next((status for status in self._containers() if status["name"] == name), {})

    def _containers(self) -> list[Object]:
        status = self.object()["status"]
        return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]

    @property
    def phase(self) -> str:
        return cast("str", self.object()["status"]["phase"])

    def wait_started(self) -> None:
        """Wait until all containers run."""
        running = f"{self.name} runs"
        wait_until(self._states, lambda seen: seen == {"running"}, what=running, timeout=TIMEOUT, interval=0.05)

    def _states(self) -> set[str]:
        return {state for container in self._containers() for state in container["state"]}

    def log(self, container: str) -> str:
        """Return the log of its current run; empty if there is none."""
        which = (self.name, f"--namespace={self.namespace}", f"--container={container}")
        return self._site.cluster.kubectl("logs", *which, check=False)

    def delete(self) -> None:
        """Delete it without waiting for its end."""
        self._site.client.delete(self._path)

    def wait_gone(self, timeout: float = TIMEOUT) -> None:
        what = f"{self.name} is gone"
        wait_until(self.find, lambda found: found is None, what=what, timeout=timeout, interval=0.05)

    # --- what its node reports ---

    @property
    def node(self) -> Node:
        return self._site.node

    def process(self, container: str) -> int:
        """Return its process 1 by its number on the node."""
        identity = self.container(container)["containerID"].rpartition("/")[2]
        tasks = (line.split() for line in self.node.ctr("tasks", "list").splitlines()[1:])
        return next(int(task[1]) for task in tasks if task[0] == identity)

    def children(self, container: str) -> list[int]:
        """Return the processes that process 1 has started, by their numbers on the node."""
        first = self.process(container)
        return [int(number) for number in self.node.exec("cat", f"/proc/{first}/task/{first}/children").split()]

    def kill_agent(self) -> None:
        """Send SIGKILL to the agent's Python, as the kernel does when memory runs out."""
        (agent,) = self.children("launcher-agent")
        self.node.exec("kill", "-KILL", str(agent))

    def memory(self, container: str) -> dict[str, int]:
        """Return what is charged to the container, in bytes: `anon`, `file` and `kernel`."""
        lines = self.node.exec("cat", f"/proc/{self.process(container)}/cgroup").splitlines()
        paths = {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}
        if "memory" not in paths:
            stat = self._numbers(f"/sys/fs/cgroup{paths['']}/memory.stat")
            return {name: stat[name] for name in ("anon", "file", "kernel")}
        folder = f"/sys/fs/cgroup/memory{paths['memory']}"
        stat = self._numbers(f"{folder}/memory.stat")
        kernel = int(self.node.exec("cat", f"{folder}/memory.kmem.usage_in_bytes"))
        return {"anon": stat["total_rss"], "file": stat["total_cache"], "kernel": kernel}

    def _numbers(self, path: str) -> dict[str, int]:
        return {name: int(value) for name, value in map(str.split, self.node.exec("cat", path).splitlines())}
