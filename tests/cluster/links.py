"""The links of a cluster: one from the machine to the control plane's bridge, one from there to each node.

A link ends with either of the namespaces that it joins, but not at once: open connections keep a namespace alive until
the kernel drops them. So links are also deleted by name.
"""

import socket
from pathlib import Path

from testbed.waiting import wait_until
from tests.cluster.commands import run
from tests.cluster.namespaces import Namespaces
from tests.cluster.plan import BRIDGE, MACHINE, Plan, network_of


def free_network(preferred: int) -> int:
    """Return the third number of a nodes' network to which this machine has no route yet."""
    routes = run("ip", "route", "show", "table", "all")
    candidates = ((preferred + offset) % 256 for offset in range(256))
    return next(number for number in candidates if network_of(number) not in routes)


def connect_machine(plan: Plan, plane: Namespaces) -> None:
    """The machine can reach the API server and the nodes, but not pods and services."""
    run("ip", "link", "add", plan.id, "type", "veth", "peer", "name", MACHINE, "netns", str(plane.pid))
    run("ip", "address", "add", f"{plan.machine}/24", "dev", plan.id)
    run("ip", "link", "set", plan.id, "up")
    _plug_in(plane, MACHINE)


def connect_node(plane: Namespaces, node: Namespaces) -> None:
    """Move the node's end into it as eth0, for which the node waits."""
    ends = ("netns", str(plane.pid), "type", "veth", "peer", "name", "eth0", "netns", str(node.pid))
    run("ip", "link", "add", node.name, *ends)
    _plug_in(plane, node.name)


def _plug_in(plane: Namespaces, link: str) -> None:
    wait_until(lambda: BRIDGE in plane.network("ip", "-oneline", "link"), what="the control plane has its bridge")
    plane.network("ip", "link", "set", link, "master", BRIDGE, "up")


def give_up_quickly() -> None:
    """Drop a connection without a process after one attempt to notify its peer instead of eight.

    Otherwise the network would stay in the kernel for minutes after its last process, unseen.
    """
    Path("/proc/sys/net/ipv4/tcp_orphan_retries").write_text("1")


def disconnect_machine(cluster: str) -> None:
    """Delete a cluster's link to the machine, if there is one."""
    if cluster in (name for _, name in socket.if_nameindex()):
        run("ip", "link", "delete", cluster, check=False)  # it may be gone by now


def disconnect_node(plane: Namespaces, node: Namespaces) -> None:
    """Delete a stopped node's link, if there is one."""
    plane.network("ip", "link", "delete", node.name, check=False)
