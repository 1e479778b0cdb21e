"""No value outlives its handler. With two controllers, all handlers of the module are killed, left by their VMI, or
configured to publish elsewhere at one moment, since each case takes the 30 s of a Lease; each test checks one case.

A watch records what each companion showed, and when.
"""

import time
from collections.abc import Iterator

import pytest

from handler_service.kube.leases import DURATION
from testbed.promises import SHOWN_WITHIN
from testbed.sampler import Sampler
from testbed.waiting import wait_until
from tests.apiserver.away import DEADLINE, Cluster, running
from tests.apiserver.identities import BASE, NAMESPACE, install
from tests.apiserver.vmis import seen, told, unknown
from tests.cluster.control_plane import ControlPlane
from tests.cluster.vmi import STOCK
from tests.hostile.stage import Attacker

# The first test waits for nine programs on a busy machine, and for a Lease.
pytestmark = pytest.mark.timeout(400)

#: Seconds: the promised maximum, measured by a watch (NeverOutlives in docs/reliability.md).
PROMISE = 40.0


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Of this module's own: handlers of other modules renew no Lease."""
    with ControlPlane(tmp_path_factory.mktemp("away"), resources=[STOCK, BASE]) as plane:
        install(plane)
        yield plane


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(control_plane, tmp_path_factory.mktemp("controllers")) as up:
        yield up


# --- gone -------------------------------------------------------------------------------------------------------------


def test_within_40_s_of_a_handlers_death_its_values_are_not_observed(cluster: Cluster) -> None:
    """The last renewal may be 10 s before the death. The number stays, and so does the time of its last change."""
    mark = cluster.killed.marked()
    assert cluster.renewed["killed"] + DURATION <= mark.at <= cluster.moment + PROMISE
    assert told(mark.object) == unknown(2, "HandlerAway")
    before = cluster.killed.versions.events[0].object["status"]
    for field in ("since", "nodeName", "vmiUID", "vncSessions"):
        assert mark.object["status"][field] == before[field]
    # The two that died renewed their Leases at different times.
    wait_until(
        lambda: cluster.second.metric("vmi_service_status_controller_handlers_away"),
        lambda away: away >= 2,
        what="both are counted",
        timeout=DEADLINE,
    )


def test_what_was_observed_of_another_service_is_marked_in_the_same_write(cluster: Cluster) -> None:
    """The number stays. A service that nothing watched has nothing to withdraw."""
    cases = (cluster.killed, cluster.frozen, cluster.moved)
    for status in (case.marked().object["status"] for case in cases):
        found = {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}
        assert status["usbRedirections"] == 1
        assert found["UsbRedirectionsObserved"] == ("False", "HandlerAway")
        assert found["ConsoleSessionsObserved"] == ("Unknown", "NotWatched")


def test_idle_is_unknown_where_nobody_can_know(cluster: Cluster) -> None:
    """`kubectl wait --for=condition=Idle` does not return because a program is dead."""
    mark = cluster.killed_idle.marked()
    assert cluster.renewed["killed-idle"] + DURATION <= mark.at <= cluster.moment + PROMISE
    assert told(mark.object) == unknown(0, "HandlerAway")


def test_a_vm_on_a_node_without_a_handler_is_not_observed(cluster: Cluster) -> None:
    """The handler of its former node is running all the time."""
    mark = cluster.moved.marked()
    assert 19 <= mark.at - cluster.moment <= PROMISE
    assert told(mark.object) == unknown(1, "HandlerAway")


def test_a_claim_that_its_handler_may_not_withdraw_is_marked(cluster: Cluster) -> None:
    """The handler lives and may renew its Lease, and stops to do so 10 s after it had to withdraw the claim."""
    mark = cluster.refused.marked()
    assert mark.at - cluster.moment <= 10 + PROMISE
    assert told(mark.object) == unknown(0, "HandlerAway")
    assert cluster.refused.versions.values(told) == [seen(0), unknown(0, "HandlerAway")]
    cluster.refused.handler.wait_for_log("could not be withdrawn for 10 s")


def test_companions_that_no_handler_writes_any_more_are_removed(cluster: Cluster) -> None:
    """The node's handler now publishes into the VMI's own status."""
    wait_until(cluster.elsewhere.vmi.companion, lambda found: found is None, what="it is removed", timeout=DEADLINE)


def test_a_companion_without_its_vmi_is_removed(cluster: Cluster) -> None:
    """It has no owner reference, so the garbage collector would not remove it."""
    wait_until(lambda: cluster.client.find(cluster.orphan), lambda found: found is None, what="it is removed",
               timeout=DEADLINE)  # fmt: skip


def test_a_handler_that_works_is_left_alone(cluster: Cluster) -> None:
    """Its companion shows only what the handler wrote."""
    cluster.killed.marked()
    assert cluster.working.versions.values(told) == [seen(3)]


# --- back -------------------------------------------------------------------------------------------------------------


def test_a_handler_that_is_back_is_right_within_10_s(cluster: Cluster) -> None:
    """The number does not change in between, and no condition appears that the agent has not reported."""
    case = cluster.back
    case.marked()
    case.handler.start_synced()
    began = time.monotonic()
    case.peer.connect()
    case.peer.snapshot(2)
    case.versions.wait_for(told, seen(2))
    assert time.monotonic() - began <= SHOWN_WITHIN
    assert case.versions.values(told) == [seen(2), unknown(2, "HandlerAway"), seen(2)]


def test_a_handler_that_was_frozen_is_right_again_without_a_restart(cluster: Cluster) -> None:
    """Its watch shows the mark, and it writes the current value."""
    case = cluster.frozen
    case.marked()
    case.handler.thaw()
    began = time.monotonic()
    case.peer.connect()
    case.peer.snapshot(1)
    case.vmi.wait_told(seen(1))
    assert time.monotonic() - began <= SHOWN_WITHIN
    assert set(case.versions.values(lambda companion: companion["status"]["vncSessions"])) == {1}


def test_a_node_has_one_lease_and_few_writes(cluster: Cluster) -> None:
    """It is renewed every ten seconds, with the fields that the guard admits."""
    lease = cluster.client.get(f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/handler-node-working")
    assert lease["spec"]["leaseDurationSeconds"] == 30
    assert lease["metadata"]["annotations"] == {"servicestatus.kubevirt.io/publishes": "companion"}
    assert lease["metadata"]["labels"] == {"servicestatus.kubevirt.io/nodeName": "node-working"}


def test_peers_that_hold_the_controllers_ports_harm_nothing(cluster: Cluster) -> None:
    """It has the handler's HTTP server (tests/hostile/test_http_ports.py): it does not grow, and its probes pass."""
    controller = cluster.second
    before = controller.memory().anonymous
    ports = [controller.probe_port, controller.metrics_port]
    with Sampler(lambda: controller.memory().anonymous) as memory, Attacker("half-requests", ports) as attacker:
        assert [controller.probe() for _ in range(100)] == [200] * 100
    assert attacker.units > 0, "nothing was done"
    assert max(memory.values) - before <= 8 * 1024 * 1024
    assert controller.metric("vmi_service_status_controller_companions") > 0
