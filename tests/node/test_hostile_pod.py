"""Many pods, and malicious ones: the handler releases everything of an ended pod, and no VM is harmed by another."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.pool import ViewerPool
from testbed.promises import SHOWN_WITHIN
from testbed.waiting import wait_until
from tests.apiserver.vmis import seen
from tests.node.installation import HANDLER, Installation
from tests.node.launcher.kubevirt import KubeVirt, Machine
from tests.node.launcher.shape import IDLE
from tests.node.place import Ability
from tests.node.pods import NodePod

pytestmark = pytest.mark.needs(Ability.LOOK)


def descriptors(pod: NodePod) -> int:
    """Return how many files the handler has open."""
    return len(pod.node.exec("ls", f"/proc/{pod.process(HANDLER)}/fd").split())


def reporting(installation: Installation) -> int:
    """Return how many agents have an open stream to the handler."""
    endpoints = [endpoint for status in installation.statuses() for endpoint in status.get("endpoints", [])]
    return sum(endpoint["state"] == "ENDPOINT_STATE_REPORTING" for endpoint in endpoints)


def test_nothing_is_left_of_pods_that_came_and_went(kubevirt: KubeVirt, installation: Installation) -> None:
    """15 of them at once: no endpoint, no open file, no companion is left."""
    handler = installation.handler
    wait_until(installation.statuses, lambda statuses: not statuses, what="no VM is there", interval=0.2)
    before, restarts = descriptors(handler), handler.container(HANDLER)["restartCount"]
    machines = [kubevirt.start(f"vm-{number}", command=IDLE) for number in range(15)]
    # An agent that starts while 14 others do needs some time for it.
    everywhere = "all agents report"
    wait_until(lambda: reporting(installation), lambda count: count == 15, what=everywhere, timeout=60, interval=0.5)
    kubevirt.stop(*machines)
    wait_until(installation.statuses, lambda statuses: not statuses, what="all are dropped", interval=0.2)
    # Each pod takes three. Connections to the API server are kept for some time, so there may be some more.
    few = before + 10
    wait_until(lambda: descriptors(handler), lambda now: now < few, what=f"fewer than {few} files", interval=0.2)
    for machine in machines:
        wait_until(machine.vmi.companion, lambda found: found is None, what="the companion is gone", interval=0.1)
    assert handler.container(HANDLER)["restartCount"] == restarts


# What a process in its own launcher pod does to the directory in which the handler makes its socket.
TRICKS = {
    "file": "while true; do rm -rf handler.sock; echo mine > handler.sock; sleep 0.3; done",
    "directory": "while true; do rm -rf handler.sock; mkdir -p handler.sock/deep; sleep 0.3; done",
    "neighbour": "while true; do rm -rf handler.sock; ln -s ../../../../{uid}/{path} handler.sock; sleep 0.3; done",
    "admin": "while true; do rm -rf handler.sock; ln -s /run/vmi-service-status/admin.sock handler.sock; sleep 1; done",
    "thief": "while true; do rm -rf handler.sock; sleep 0.05; done",
    "filler": "head -c 10000000 /dev/zero > full; sleep 3600",
}


@contextlib.contextmanager
def flood(path: Path) -> Iterator[list[int]]:
    """Open connections to a socket as fast as it accepts them, each with some invalid bytes; 200 are held at a time."""
    ending, made = threading.Event(), [0]

    def run() -> None:
        held: list[socket.socket] = []
        while not ending.is_set():
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(1)
            with contextlib.suppress(OSError):
                client.connect(str(path))
                client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(64))
                made[0] += 1
            held.append(client)
            if len(held) > 200:
                held.pop(0).close()
            ending.wait(0.001)
        for client in held:
            client.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        ending.set()
        thread.join()


def test_a_hostile_pod_harms_no_other_vm(kubevirt: KubeVirt, installation: Installation, viewers: ViewerPool) -> None:
    """Symlinks, files, a stolen socket, a full volume and a flood, all at once: a neighbour's viewers are counted."""
    restarts = installation.handler.container(HANDLER)["restartCount"]
    machine = kubevirt.start("victim")
    machine.vmi.wait_told(seen(0))
    own = machine.launcher.volume("service-status") / "handler.sock"
    inode = own.stat().st_ino
    hostile = [start_hostile(kubevirt, name, machine) for name in TRICKS]
    flooded = kubevirt.start("flooded", command=IDLE)
    for enemy in (*hostile, flooded):
        enemy.launcher.wait_started()
    flooded.launcher.wait_agent("reporting to handler")
    with flood(flooded.launcher.volume("service-status") / "handler.sock") as made:
        for _ in range(3):
            viewers.establish(machine.display)
            machine.vmi.wait_told(seen(1), timeout=SHOWN_WITHIN)
            viewers.establish(machine.display)
            machine.vmi.wait_told(seen(2), timeout=SHOWN_WITHIN)
            viewers.close_all()
            machine.vmi.wait_told(seen(0), timeout=SHOWN_WITHIN)
        # More than the handler takes at once and the kernel keeps waiting, so the flood went on all the while.
        wait_until(lambda: made[0], lambda count: count > 40, what="40 connections were made")
    assert own.stat().st_ino == inode
    assert installation.handler.container(HANDLER)["restartCount"] == restarts
    assert machine.launcher.restarts() == (0, 0)
    kubevirt.stop(*hostile, flooded)


def start_hostile(kubevirt: KubeVirt, name: str, victim: Machine) -> Machine:
    path = "volumes/kubernetes.io~empty-dir/service-status/handler.sock"
    trick = TRICKS[name].format(uid=victim.launcher.uid, path=path)
    script = f"trap 'exit 0' TERM; cd /var/run/service-status; ({trick}) & wait"
    return kubevirt.start(name, command=["sh", "-c", script], owns_status=True)
