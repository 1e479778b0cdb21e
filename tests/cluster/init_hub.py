"""The hub of a cluster, in namespaces of its own: the bridge that joins the nodes, and the control plane.

As it is no node, every node can be stopped without taking the API server along.
"""

from testbed.processes import ManagedProcess
from tests.cluster import links
from tests.cluster.commands import run
from tests.cluster.components import Endpoint
from tests.cluster.control_plane import ControlPlane
from tests.cluster.plan import API_PORT, BRIDGE, FIRST_SERVICE, HUB, SERVICES, Plan


def start(plan: Plan) -> list[ManagedProcess]:
    """Everything that the hub runs."""
    _network(plan)
    endpoint = Endpoint(plan.hub, API_PORT, SERVICES, FIRST_SERVICE, has_nodes=True)
    plane = ControlPlane(plan.folder / HUB, endpoint=endpoint)
    for number in plan.numbers:
        plane.add_user(f"system:node:n{number}", "system:nodes")
    plane.add_user("system:kube-proxy")
    scheduler = plane.scheduler()
    plane.start()
    return [plane.etcd, plane.apiserver, plane.controller_manager, scheduler.start()]


def _network(plan: Plan) -> None:
    """The API server calls pods at their own addresses, behind their nodes'."""
    run("ip", "link", "set", "lo", "up")
    # Without an address of its own it takes a node's, and another one when that node stops: for the next 40 s nobody
    # would find the API server.
    run("ip", "link", "add", BRIDGE, "address", "02:00:00:00:00:01", "type", "bridge")
    run("ip", "address", "add", f"{plan.hub}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    links.give_up_quickly()
    for number in plan.numbers:
        run("ip", "route", "add", plan.pods(number), "via", plan.node(number))
