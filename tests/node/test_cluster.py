"""Several nodes, several clusters, and nothing left of any of them, however its starter ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed import procfs
from testbed.waiting import wait_until
from tests.cluster.cgroups import Tree
from tests.cluster.cluster import Cluster
from tests.cluster.commands import run
from tests.cluster.images import BUSYBOX
from tests.cluster.objects import pod
from tests.cluster.plan import PREFIX, cluster_id, plan_file
from tests.cluster.tools import REPOSITORY
from tests.cluster.workloads import Workloads
from tests.node.place import Ability

pytestmark = pytest.mark.needs(Ability.OWN)


def left_of(folder: Path) -> list[str]:
    """Return what a machine still has of a cluster: cgroups, links, processes that name its folder, and the folder."""
    cgroups = [str(path) for tree in Tree.find(cluster_id(folder)) for path in tree.paths]
    links = [line for line in run("ip", "-oneline", "link").splitlines() if cluster_id(folder) in line]
    named = [pid for pid in procfs.pids() if any(str(folder).encode() in word for word in procfs.command_line(pid))]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line]
    return [*cgroups, *links, *map(str, named), *mounts, *([str(folder)] if folder.exists() else [])]


def command_line(folder: Path, *arguments: str) -> list[str | Path]:
    return [sys.executable, "-m", "tests.cluster", "--dir", folder, *arguments]


def test_two_nodes_beside_another_cluster(cluster: Workloads, tmp_path: Path) -> None:
    """A pod on one node reaches a pod on the other at its own address; the other cluster is not affected."""
    with Cluster(tmp_path / "c", nodes=2) as pair:
        namespace = pair.create_namespace()
        listen = ["sh", "-c", "while true; do echo reached | nc -l -p 7000; done"]
        pair.run_pod(pod("server", namespace, image=BUSYBOX, command=listen, node_name="n1"))
        pair.run_pod(pod("client", namespace, image=BUSYBOX, command=["sleep", "3600"], node_name="n2"))
        address = pair.kubectl("get", "pod", "server", "-n", namespace, "--output=jsonpath={.status.podIP}")
        assert pair.exec(namespace, "client", "nc", "-w", "10", address, "7000") == "reached\n"
        assert cluster.kubectl("get", "nodes", "--output=name") == "node/n1\n"
    assert left_of(tmp_path / "c") == []


def test_the_command_line_starts_and_ends_a_cluster(tmp_path: Path) -> None:
    """`up` leaves it running, the other commands find it there, `down` leaves nothing."""
    folder = tmp_path / "c"
    up = run(*command_line(folder, "up"), timeout=200)
    assert up == f"KUBECONFIG={folder}/plane/admin.kubeconfig\n"
    assert run(*command_line(folder, "kubectl", "get", "nodes", "--output=name")) == "node/n1\n"
    assert run(*command_line(folder, "node-exec", "hostname")) == "n1\n"
    assert BUSYBOX in run(*command_line(folder, "ctr", "images", "list", "--quiet")).split()
    run(*command_line(folder, "down"))
    assert left_of(folder) == []


# How far a start has come, by what it has made. A completed start is another test's.
MOMENTS: dict[str, Callable[[Path], bool]] = {
    "its cgroup": lambda folder: bool(Tree.find(cluster_id(folder))),
    "its plan": lambda folder: plan_file(folder).exists(),
    "its first process": lambda folder: any(tree.processes() for tree in Tree.find(cluster_id(folder))),
    "its link": lambda folder: cluster_id(folder) in run("ip", "-oneline", "link"),
    "its node": lambda folder: (folder / "n1" / "init.log").exists(),
    "its kubelet": lambda folder: (folder / "n1" / "kubelet.log").exists(),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_nothing_is_left_of_a_cluster_whose_starter_was_killed(moment: str, tmp_path: Path) -> None:
    """Whatever the start had made when SIGKILL came, `down` finds and removes it."""
    folder = tmp_path / "c"
    with subprocess.Popen(command_line(folder, "up"), cwd=REPOSITORY, stdout=subprocess.DEVNULL) as starter:
        wait_until(lambda: MOMENTS[moment](folder), what=f"the cluster has {moment}")
        os.kill(starter.pid, signal.SIGKILL)
    run(*command_line(folder, "down"))
    assert left_of(folder) == []


def test_the_next_start_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    """A start in the same folder starts from nothing, and one in any folder removes unused cgroups."""
    with subprocess.Popen(command_line(tmp_path / "c", "up"), cwd=REPOSITORY, stdout=subprocess.DEVNULL) as starter:
        wait_until(lambda: MOMENTS["its kubelet"](tmp_path / "c"), what="a node's kubelet is started")
        os.kill(starter.pid, signal.SIGKILL)
    dead = Tree.create(f"{PREFIX}00000000")
    with Cluster(tmp_path / "c") as again:
        assert again.kubectl("get", "nodes", "--output=name") == "node/n1\n"
        assert [path for path in dead.paths if path.exists()] == []
    assert left_of(tmp_path / "c") == []


STARTER = """
import sys, time
from pathlib import Path
from tests.cluster.cluster import Cluster
with Cluster(Path(sys.argv[1])):
    print("up", flush=True)
    time.sleep(600)
"""


def test_a_cluster_of_a_killed_test_ends_with_it(tmp_path: Path) -> None:
    """All of its processes end by themselves; `down` finds only files, links and cgroups."""
    folder = tmp_path / "c"
    command: list[str | Path] = [sys.executable, "-c", STARTER, folder]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "up\n"
        os.kill(starter.pid, signal.SIGKILL)

    def running() -> set[int]:
        return {pid for tree in Tree.find(cluster_id(folder)) for pid in tree.processes()}

    wait_until(running, lambda pids: not pids, what="every process has ended", interval=0.05)
    Cluster(folder).down()
    assert left_of(folder) == []


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    """Neither a start nor an end touches the files in a folder with other content."""
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="holds something else than a cluster"):
        Cluster(tmp_path).up()
    Cluster(tmp_path).down()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
