"""A node, in namespaces of its own: its mounts, its network, containerd, kubelet and kube-proxy.

Invariant: nothing of the machine is written except the node's own folder. Programs that must write elsewhere write to
file systems that end with the node's mount namespace.
"""

import os
import socket
from pathlib import Path

from testbed.processes import ManagedProcess
from testbed.waiting import wait_until
from tests.cluster import debian, links
from tests.cluster.api import Api
from tests.cluster.cgroups import enable_controllers
from tests.cluster.commands import run
from tests.cluster.hierarchies import hierarchies
from tests.cluster.kubeconfig import kubeconfig_path
from tests.cluster.node_config import CONTAINERD_SOCKET, NodeConfig
from tests.cluster.plan import CONTROL_PLANE, Plan
from tests.cluster.server import READY_TIMEOUT, Server, accepts
from tests.cluster.tools import tool

# Machine-wide settings that kubelet sets if they differ. The node sees files with the values that kubelet requires.
SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def start(plan: Plan, number: int) -> list[ManagedProcess]:
    """Start everything that the node runs. kubelet is last: without an API server it waits seconds before a retry."""
    name = f"n{number}"
    folder = plan.folder / name
    tools = debian.unpacked()
    socket.sethostname(name)
    _mount(folder)
    _remount_cgroups()
    _network(plan, number)
    os.environ["PATH"] = f"{tools / 'usr/sbin'}:{os.environ['PATH']}"
    users = plan.folder / CONTROL_PLANE
    proxy = kubeconfig_path(users, "system:kube-proxy")
    config = NodeConfig(folder, name, plan.pods(number), tools, users / "pki/ca.crt", proxy)
    containerd = Server(
        [tool("containerd"), "--config", config.containerd()],
        log=folder / "containerd.log",
        ready=lambda: accepts(CONTAINERD_SOCKET),
    ).start()
    kubeconfig = kubeconfig_path(users, f"system:node:{name}")
    wait_until(lambda: _answers(kubeconfig), what="the API server answers", timeout=READY_TIMEOUT, interval=0.1)
    return [containerd, _kubelet(config, kubeconfig, plan.node(number)).start(), _kube_proxy(config).start()]


def _answers(kubeconfig: Path) -> bool:
    return kubeconfig.exists() and Api(kubeconfig).has("/readyz")


def _kubelet(config: NodeConfig, kubeconfig: Path, address: str) -> ManagedProcess:
    name = (f"--hostname-override={config.name}", f"--node-ip={address}")
    files = (f"--config={config.kubelet()}", f"--kubeconfig={kubeconfig}")
    return ManagedProcess([tool("kubelet"), *files, *name], log=config.folder / "kubelet.log")


def _kube_proxy(config: NodeConfig) -> ManagedProcess:
    return ManagedProcess([tool("kube-proxy"), f"--config={config.kube_proxy()}"], log=config.folder / "kube-proxy.log")


def _mount(folder: Path) -> None:
    """The node's own /run and /var; the folders of kubelet and containerd in /var are on the disk, and stay."""
    run("mount", "--make-rshared", "/")
    run("mount", "-t", "tmpfs", "run", "/run")
    layers = [Path("/run/var/upper"), Path("/run/var/work")]
    for layer in layers:
        layer.mkdir(parents=True)
    options = f"lowerdir=/var,upperdir={layers[0]},workdir={layers[1]}"
    run("mount", "-t", "overlay", "var", "-o", options, "/var")
    for name in ("kubelet", "containerd"):
        (folder / name).mkdir(exist_ok=True)
        Path("/var/lib", name).mkdir(exist_ok=True)
        run("mount", "--bind", folder / name, f"/var/lib/{name}")
    run("mount", "--make-rshared", "/var/lib/kubelet")
    for name, value in SYSCTLS.items():
        _pretend(name, value)


def _pretend(name: str, value: str) -> None:
    shown = Path("/run/sysctl", name)
    shown.parent.mkdir(parents=True, exist_ok=True)
    shown.write_text(f"{value}\n")
    run("mount", "--bind", shown, f"/proc/sys/{name}")


def _remount_cgroups() -> None:
    """Mount them again, so that the node's programs see the node's own cgroup as the root."""
    for hierarchy in hierarchies():
        run("umount", hierarchy.mount)
        if hierarchy.unified:
            run("mount", "-t", "cgroup2", "cgroup2", hierarchy.mount)
            enable_controllers(hierarchy.mount)
        else:
            run("mount", "-t", "cgroup", "-o", hierarchy.options, "cgroup", hierarchy.mount)


def _network(plan: Plan, number: int) -> None:
    """eth0, which the starter moves here, leads to the bridge, the API server and the other nodes' pods."""
    wait_until(socket.if_nameindex, lambda links: "eth0" in dict(links).values(), what="eth0 is there")
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{plan.node(number)}/24", "dev", "eth0")
    run("ip", "link", "set", "eth0", "up")
    run("ip", "route", "add", "default", "via", plan.api_server)
    for other in plan.numbers:
        if other != number:
            run("ip", "route", "add", plan.pods(other), "via", plan.node(other))
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    links.give_up_quickly()
