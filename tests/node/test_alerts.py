"""Each alert fires once for real: its fault is caused on the node, and a real Prometheus with the rules detects it.

The faults overlap, so that their durations run in parallel.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types
from testbed.sampler import Sampler
from testbed.waiting import wait_until
from tests.apiserver.peers import Peer, Peers
from tests.apiserver.vmis import Vmi, seen
from tests.cluster.workloads import Workloads
from tests.monitoring.rules import alerts
from tests.monitoring.test_dashboard import FOREIGN, names, queries
from tests.node.installation import NAMESPACE, Installation
from tests.node.launcher.kubevirt import KubeVirt
from tests.node.launcher.shape import IDLE
from tests.node.manifests import overlay
from tests.node.place import Ability
from tests.node.prometheus import CONTROLLER, HANDLER, Prometheus
from tests.node.site import Site

HANDLER_PORT, CONTROLLER_PORT = 8187, 8188
# Seconds between two messages out of sequence, each with its snapshot: well below a socket's limit.
LOSES = 1 / 3


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Prometheus]:
    with Prometheus(tmp_path).watch(HANDLER, 1, node="node-0").watch(CONTROLLER, 1) as running:
        yield running


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as made:
        yield made


@pytest.fixture
def peers() -> Iterator[Peers]:
    with Peers() as made:
        yield made


@contextlib.contextmanager
def scraped(prometheus: Prometheus, site: Site, installation: Installation) -> Iterator[None]:
    """By a port that `kubectl port-forward` opens."""
    with site.cluster.port_forward(NAMESPACE, f"pod/{installation.handler.name}", HANDLER_PORT) as port:
        prometheus.watch(HANDLER, port, node=site.node_name)
        wait_scraped(prometheus, HANDLER)
        yield


@contextlib.contextmanager
def controller_scraped(prometheus: Prometheus, cluster: Workloads) -> Iterator[None]:
    """By such a port too, to one of the two replicas."""
    ready = ("--for=condition=Ready", "--selector=app.kubernetes.io/component=controller", "--timeout=120s")
    cluster.kubectl("wait", "pod", f"--namespace={NAMESPACE}", *ready, timeout=130)
    with cluster.port_forward(NAMESPACE, f"deployment/{CONTROLLER}", CONTROLLER_PORT) as port:
        prometheus.watch(CONTROLLER, port)
        wait_scraped(prometheus, CONTROLLER)
        yield


def wait_scraped(prometheus: Prometheus, job: str) -> None:
    up = f'up{{job="{job}"}} == 1'
    wait_until(lambda: prometheus.query(up), what=f"{job} is scraped", retry_on=(OSError,), interval=0.2)


def lose_track(peer: Peer) -> None:
    """An agent whose messages are not in sequence."""
    peer.sequence += 7
    peer.say(pb.ReportSessionsRequest(delta=pb.Delta(sequence=peer.sequence)))
    peer.snapshot(1, types.OBSERVATION_REASON_LIBVIRT_UNREACHABLE)


@contextlib.contextmanager
def without_rights(cluster: Workloads) -> Iterator[None]:
    """Remove the handler's role as an admin might by mistake, and restore it."""
    binding = ("clusterrolebinding", "vmi-service-status-handler")
    kept = cluster.kubectl("get", *binding, "--output=json")
    cluster.kubectl("delete", *binding)
    try:
        yield
    finally:
        cluster.kubectl("create", "--filename=-", input=re.sub(r'"(resourceVersion|uid)": "[^"]*",?', "", kept))


def publish_into_vmis(cluster: Workloads, folder: Path) -> None:
    """The component `vmi-status`, on a KubeVirt that does not support it."""
    chosen = overlay(folder, {"components": ["vmi-status"]}, base="overlays/test-node")
    cluster.kubectl("apply", "--server-side", "-k", chosen)


@pytest.mark.needs(Ability.LOOK)
@pytest.mark.timeout(900)  # a lease, three starts of a handler and seven alerts: 240 s at a load of 30
def test_each_alert_fires_when_its_fault_is_there(
    cluster: Workloads,
    site: Site,
    kubevirt: KubeVirt,
    installation: Installation,
    namespace: str,
    prometheus: Prometheus,
    peers: Peers,
    stack: contextlib.ExitStack,
    tmp_path: Path,
) -> None:
    """None while all is well; each by its own fault, with the labels that its runbook begins with."""
    node = site.node_name
    machine = kubevirt.start("vm", command=IDLE, owns_status=True)
    machine.launcher.wait_started()
    prometheus.wait_firing("VMIServiceStatusHandlerDown", "VMIServiceStatusControllerDown")
    stack.enter_context(controller_scraped(prometheus, cluster))
    with scraped(prometheus, site, installation):
        peer = peers.connect(machine.launcher.volume("service-status") / "handler.sock")
        machine.vmi.wait_told(seen(0))
        series = 'kubevirt_vmi_service_sessions{name="vm"}'
        expected = {f"name=vm,namespace={namespace},service=vnc": 0.0}
        wait_until(
            lambda: prometheus.query(series), lambda now: now == expected, what=f"{expected} is scraped", interval=0.2
        )
        wait_until(prometheus.firing, lambda now: now == {}, what="no alert fires", interval=0.2)
        assert_scraped(prometheus)

        without_agent = Vmi(site.client, namespace, "older").create(node, pods={})
        with without_rights(cluster):
            peer.report(1, types.OBSERVATION_REASON_LIBVIRT_UNREACHABLE)
            with Sampler(lambda: lose_track(peer), LOSES):
                firing = prometheus.wait_firing(
                    "VMIServiceStatusUnknown",
                    "VMIServiceStatusResyncStorm",
                    "VMIServiceStatusPublishingFails",
                    "VMIServiceStatusNoAgent",
                )
        assert firing["VMIServiceStatusUnknown"]["reason"] == "LibvirtUnreachable"
        assert firing["VMIServiceStatusPublishingFails"]["state"] == "forbidden"
        assert firing["VMIServiceStatusPublishingFails"]["publisher"] == "companion"
        opener = str(installation.handler.process("opener"))
        site.node.exec("kill", "-STOP", opener)
        assert prometheus.wait_firing("VMIServiceStatusOpenerAway")["VMIServiceStatusOpenerAway"]["node"] == node
        site.node.exec("kill", "-CONT", opener)
        installation.remove_handler()
        firing = prometheus.wait_firing("VMIServiceStatusHandlerDown")
        assert firing["VMIServiceStatusHandlerDown"]["node"] == node

    publish_into_vmis(cluster, tmp_path)
    installation.wait_ready()
    with scraped(prometheus, site, installation):
        peers.connect(peer.socket, sessions=1)
        firing = prometheus.wait_firing("VMIServiceStatusNotKept")
        assert firing["VMIServiceStatusNotKept"]["state"] == "pruned"
    without_agent.delete()
    kubevirt.stop(machine)
    installation.apply()
    assert alerts().keys() == {
        "VMIServiceStatusHandlerDown",
        "VMIServiceStatusOpenerAway",
        "VMIServiceStatusUnknown",
        "VMIServiceStatusNoAgent",
        "VMIServiceStatusPublishingFails",
        "VMIServiceStatusNotKept",
        "VMIServiceStatusControllerDown",
        # It needs the 30 s of a Lease, and its number: tests/apiserver/test_handler_away.py
        "VMIServiceStatusHandlersAway",
        "VMIServiceStatusResyncStorm",
        # Of the webhook: tests/monitoring, tests/apiserver/injection_webhook
        "VMIServiceStatusInjectionFails",
    }


def assert_scraped(prometheus: Prometheus) -> None:
    """The metrics of the dashboard exist, in the handler of the image too."""
    late = {"vmi_service_status_streams_refused_total"}  # appears with the first
    for query in queries():
        for name in names(query) - FOREIGN - late:
            if not name.startswith("vmi_service_status_agent_"):  # the peer reports none of its own
                assert prometheus.query(f"count({name})"), name
