"""The links of a cluster: one from the machine to the hub's bridge, one from there to each node.

A link ends with either of the namespaces that it joins, but not at once: connections that were open keep a namespace
alive until the kernel gives them up. So they are also taken away by name.
"""

import socket
from pathlib import Path

from testbed.waiting import wait_until
from tests.cluster.commands import run
from tests.cluster.namespaces import Namespaces
from tests.cluster.plan import BRIDGE, MACHINE, Plan, network_of


def free_network(preferred: int) -> int:
    """The third number of a nodes' network to which this machine has no route yet."""
    routes = run("ip", "route", "show", "table", "all")
    candidates = ((preferred + offset) % 256 for offset in range(256))
    return next(number for number in candidates if network_of(number) not in routes)


def connect_machine(plan: Plan, hub: Namespaces) -> None:
    """From the machine, the API server and the nodes can be reached; pods and services cannot."""
    run("ip", "link", "add", plan.id, "type", "veth", "peer", "name", MACHINE, "netns", str(hub.pid))
    run("ip", "address", "add", f"{plan.machine}/24", "dev", plan.id)
    run("ip", "link", "set", plan.id, "up")
    _plug_in(hub, MACHINE)


def connect_node(hub: Namespaces, node: Namespaces) -> None:
    """The node finds its end as eth0, and has been waiting for it."""
    ends = ("netns", str(hub.pid), "type", "veth", "peer", "name", "eth0", "netns", str(node.pid))
    run("ip", "link", "add", node.name, *ends)
    _plug_in(hub, node.name)


def _plug_in(hub: Namespaces, link: str) -> None:
    wait_until(lambda: BRIDGE in hub.network("ip", "-oneline", "link"), what="the hub has its bridge")
    hub.network("ip", "link", "set", link, "master", BRIDGE, "up")


def give_up_quickly() -> None:
    """In this network, a connection whose process is gone is given up after one try to tell its peer, not after eight.

    Otherwise the network would live on in the kernel for minutes after its last process, with nobody to see it.
    """
    Path("/proc/sys/net/ipv4/tcp_orphan_retries").write_text("1")


def disconnect_machine(cluster: str) -> None:
    """Takes a cluster's link to the machine away, if there is one."""
    if cluster in (name for _, name in socket.if_nameindex()):
        run("ip", "link", "delete", cluster, check=False)  # it may be gone by now


def disconnect_node(hub: Namespaces, node: Namespaces) -> None:
    """Takes a stopped node's link away, if there is one."""
    hub.network("ip", "link", "delete", node.name, check=False)
