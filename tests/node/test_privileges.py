"""What a process that has taken the handler over can reach: seen from inside its container, and the opener's."""

import json
import sys
from typing import Any

import pytest

from tests.apiserver.vmis import seen
from tests.cluster.workloads import Workloads
from tests.node.installation import HANDLER, NAMESPACE, Installation
from tests.node.launcher.kubevirt import KubeVirt
from tests.node.place import Ability
from tests.node.site import Site

OPENER = "opener"
PYTHON = "/usr/bin/python3.13"
MARK = "the-secret-of-another-pod"
#: The opener's anonymous and kernel memory, in bytes: what it costs a node.
MOST = 15 * 1024 * 1024

#: Every file that this process can read, by any path, that holds the mark; who it is; and what it may do.
LOOK = """
import json, os, sys
def files(top):
    for folder, folders, names in os.walk(top):
        folders[:] = [one for one in folders if os.path.join(folder, one) not in ("/proc", "/sys", "/dev")]
        for name in names:
            yield os.path.join(folder, name)
tops = ["/"]
for entry in os.listdir("/proc"):
    # Of other processes only: one's own root is what is searched anyway.
    if entry.isdigit() and int(entry) != os.getpid():
        try:
            os.listdir(f"/proc/{entry}/root")
            if os.stat(f"/proc/{entry}/root").st_dev != os.stat("/").st_dev:
                tops.append(f"/proc/{entry}/root")
        except OSError:
            pass
def command(process):
    with open(f"/proc/{process}/cmdline", "rb") as file:
        return file.read()
found = []
for top in tops:
    for path in files(top):
        try:
            small = os.path.isfile(path) and os.path.getsize(path) < 65536
            if small and sys.argv[1].encode() in open(path, "rb").read():
                found.append(path)
        except OSError:
            pass
status = dict(line.rstrip().split(":\t", 1) for line in open("/proc/self/status") if ":\t" in line)
print(json.dumps({
    "found": found,
    "uid": os.getuid(),
    "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
    "no_new_privileges": status["NoNewPrivs"],
    "openers": [p for p in os.listdir("/proc") if p.isdigit() and b"socket-" b"opener" in command(p)],
    "pods": os.path.exists("/pods"),
    "token": os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token"),
    "writable": [path for path in ("/", "/run/opener", "/usr") if os.access(path, os.W_OK)],
}))
"""


def look(cluster: Workloads, pod: str, container: str) -> Any:
    """What a process in the container sees."""
    where = (f"--namespace={NAMESPACE}", f"--container={container}", pod)
    return json.loads(cluster.kubectl("exec", *where, "--", PYTHON, "-c", LOOK, MARK))


@pytest.mark.needs(Ability.LOOK)
def test_from_inside_the_handler_no_secret_of_another_pod_can_be_read(
    cluster: Workloads, site: Site, installation: Installation, kubevirt: KubeVirt, namespace: str
) -> None:
    """The opener can, which shows that the search finds what is there; and it has no token for the API server."""
    machine = kubevirt.start()
    machine.vmi.wait_told(seen(0))
    secret = site.node.folder / "kubelet/pods" / machine.launcher.uid / "volumes/kubernetes.io~secret"
    secret.mkdir()
    password = secret / "password"
    password.write_text(MARK)
    try:
        inside = look(cluster, installation.handler.name, HANDLER)
        opener = look(cluster, installation.handler.name, OPENER)
    finally:
        # The kubelet would keep the pod's directory for its sake.
        password.unlink()
        secret.rmdir()
    assert inside == {
        "found": [],
        "uid": 65532,
        "capabilities": 0,
        "no_new_privileges": "1",
        "openers": [],
        "pods": False,
        "token": True,
        "writable": [],
    }
    assert opener["found"] == [f"/pods/{machine.launcher.uid}/volumes/kubernetes.io~secret/password"]
    assert (opener["uid"], opener["capabilities"], opener["token"]) == (0, 0, False)


@pytest.mark.needs(Ability.LOOK)
def test_the_opener_costs_a_node_less_than_fifteen_mebibytes(installation: Installation) -> None:
    """Its pages of Python and of the image are those of the handler, which runs from the same image."""
    memory = installation.handler.memory(OPENER)
    sys.stdout.write(f"{memory}, of the handler {installation.handler.memory(HANDLER)}\n")
    assert memory["anon"] + memory["kernel"] < MOST, memory


@pytest.mark.needs(Ability.LOOK)
def test_an_opener_that_is_killed_is_started_again(site: Site, installation: Installation, kubevirt: KubeVirt) -> None:
    """VMs go on being observed, and VMs that start later are."""
    first = kubevirt.start("first")
    first.vmi.wait_told(seen(0))
    restarts = installation.handler.container(HANDLER)["restartCount"]
    site.node.exec("kill", "-KILL", str(installation.handler.process(OPENER)))
    second = kubevirt.start("second")
    second.vmi.wait_told(seen(0), timeout=90)
    assert first.vmi.told() == seen(0)
    assert installation.handler.container(HANDLER)["restartCount"] == restarts
