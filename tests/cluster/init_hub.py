"""The control plane of a cluster, in namespaces of its own, with the bridge that joins the nodes.

It is no node, so every node can be stopped without stopping the API server.
"""

from testbed.processes import ManagedProcess
from tests.cluster import links
from tests.cluster.commands import run
from tests.cluster.components import Endpoint
from tests.cluster.control_plane import ControlPlane
from tests.cluster.plan import API_PORT, BRIDGE, CONTROL_PLANE, FIRST_SERVICE, SERVICES, Plan


def start(plan: Plan) -> list[ManagedProcess]:
    """Start everything that runs in the control plane's namespaces."""
    _network(plan)
    endpoint = Endpoint(plan.api_server, API_PORT, SERVICES, FIRST_SERVICE, has_nodes=True)
    plane = ControlPlane(plan.folder / CONTROL_PLANE, endpoint=endpoint)
    for number in plan.numbers:
        plane.add_user(f"system:node:n{number}", "system:nodes")
    plane.add_user("system:kube-proxy")
    scheduler = plane.scheduler()
    plane.start()
    return [plane.etcd, plane.apiserver, plane.controller_manager, scheduler.start()]


def _network(plan: Plan) -> None:
    """The API server calls pods at their own addresses, which are routed via their nodes."""
    run("ip", "link", "set", "lo", "up")
    # Without an address of its own the bridge takes a node's, and another one when that node stops: for the next 40 s
    # no client would reach the API server.
    run("ip", "link", "add", BRIDGE, "address", "02:00:00:00:00:01", "type", "bridge")
    run("ip", "address", "add", f"{plan.api_server}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    links.give_up_quickly()
    for number in plan.numbers:
        run("ip", "route", "add", plan.pods(number), "via", plan.node(number))
