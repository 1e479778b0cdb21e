"""The opener ends and comes back: pods that are served stay so, others wait, and no value is wrong meanwhile."""

from testbed.sampler import Sampler
from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peers
from tests.apiserver.vmis import Vmi, seen, unknown


def up(handler: Handler) -> float:
    """The metric by which it is known whether the opener answers."""
    (line,) = (line for line in handler.metrics().splitlines() if line.startswith("vmi_service_status_opener_up"))
    return float(line.rpartition(" ")[2])


def test_without_an_opener_served_pods_stay_so_and_new_ones_wait(
    client: Client, namespace: str, node: Node, handler: Handler, peers: Peers
) -> None:
    """Readiness and a metric show it. When it is back, which takes no restart of the handler, the new pod is served."""
    before = node.run(Vmi(client, namespace, "before"))
    peer = peers.connect(before.socket, sessions=1)
    before.wait_told(seen(1))
    assert handler.probe("/readyz") == 200
    wait_until(lambda: up(handler), lambda value: value == 1, what="the metric shows the opener")

    node.opener.kill()
    meanwhile = node.run(Vmi(client, namespace, "meanwhile"))
    wait_until(lambda: handler.probe("/readyz"), lambda status: status == 503, what="the handler is not ready")
    assert handler.probe("/healthz") == 200
    # One rendering of the metrics is served for a second.
    wait_until(lambda: up(handler), lambda value: value == 0, what="the metric shows it")
    peer.report(2)
    before.wait_told(seen(2))
    # An agent that lost its connection gets another one: the socket is the handler's.
    peer.close()
    peer = peers.connect(before.socket, sessions=1)
    before.wait_told(seen(1))
    meanwhile.wait_told(unknown(0, "NoAgent"), timeout=60)
    assert not meanwhile.socket.exists()

    node.opener.start()
    peers.connect(meanwhile.socket, sessions=3)
    meanwhile.wait_told(seen(3))
    wait_until(lambda: handler.probe("/readyz"), lambda status: status == 200, what="the handler is ready")
    peer.report(0)
    before.wait_told(seen(0))


def test_an_opener_that_hangs_is_given_up_after_five_seconds(node: Node, handler: Handler) -> None:
    """Nothing waits for it but new pods."""
    wait_until(lambda: handler.probe("/readyz"), lambda status: status == 200, what="it is ready")
    node.opener.freeze()
    try:
        wait_until(lambda: handler.probe("/readyz"), lambda status: status == 503, what="it is not", timeout=60)
    finally:
        node.opener.thaw()
    wait_until(lambda: handler.probe("/readyz"), lambda status: status == 200, what="it is again", timeout=60)


def test_a_handler_that_starts_beside_an_opener_that_hangs_is_not_ready(node: Node) -> None:
    """A rolling update must not go on to the next node: no new launcher pod can be served here."""
    wait_until(node.opener_socket.exists, what="the opener listens", timeout=60)
    node.opener.freeze()
    try:
        with node.handler() as handler, Sampler(lambda: handler.probe("/readyz")) as statuses:
            handler.wait_for_log("the opener is away")
        assert 503 in statuses.values
        assert 200 not in statuses.values
    finally:
        node.opener.thaw()


def test_a_handler_that_ends_leaves_no_socket_in_a_pod(
    client: Client, namespace: str, node: Node, handler: Handler, peers: Peers
) -> None:
    """The opener removes them for it; after a SIGKILL the next handler's sockets replace them."""
    vmi = node.run(Vmi(client, namespace, "vm"))
    peers.connect(vmi.socket).wait_published()
    handler.stop()
    assert not vmi.socket.exists()
    handler.start()
    peers.connect(vmi.socket).wait_published()
    handler.kill()
    assert vmi.socket.exists()
    handler.start()
    peers.connect(vmi.socket, sessions=1).wait_published()
