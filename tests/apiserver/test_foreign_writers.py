"""Others write the same objects: KubeVirt with full PUTs without serviceStatus, and users with kubectl edit."""

import time
from collections.abc import Callable

import pytest

from tests.apiserver.client import Client
from tests.apiserver.gateway import Gateway, is_vmi_patch
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peers
from tests.apiserver.vmis import Vmi, seen
from tests.cluster.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("service_status_schema", "handler")

LABEL = "servicestatus.kubevirt.io/nodeName"


@pytest.fixture
def node(shared_node: Node) -> Node:
    return shared_node


@pytest.fixture
def handler(shared_handler: Handler) -> Handler:
    return shared_handler


@pytest.fixture
def watched(vmi: Vmi, peers: Peers) -> Vmi:
    """A VMI with one viewer, published."""
    peers.connect(vmi.socket, sessions=1).wait_published()
    return vmi


def test_a_full_put_erases_the_field_and_it_is_written_again(watched: Vmi) -> None:
    """As virt-handler writes; the companion does not change."""
    before = watched.companion()
    watched.put_typed(phase="Running", interfaces=[{"name": "default"}])
    assert watched.service_status() is None
    watched.wait_for(1)
    assert watched.companion() == before


def test_rewriting_is_capped(
    control_plane: ControlPlane, client: Client, namespace: str, new_node: Callable[[], Node], peers: Peers
) -> None:
    """A client that erases the field again and again is answered five times, and then once a minute."""
    own = new_node()
    vmi = own.run(Vmi(client, namespace))
    with Gateway(control_plane.url, control_plane.ca) as gateway, own.handler(server=gateway.url):
        peer = peers.connect(vmi.socket, sessions=1)
        peer.wait_published()
        for _ in range(5):
            vmi.put_typed()
            vmi.wait_for(1)
        vmi.put_typed()
        time.sleep(3)
        assert vmi.service_status() is None
        assert len([request for request in gateway.requests if is_vmi_patch(request)]) == 6
        # The agent's next report is a new value, not a rewrite; but it is not written any sooner.
        assert vmi.told() == seen(1)


def test_a_wrong_number_is_put_right(watched: Vmi) -> None:
    """A client that writes a number of its own sees it overwritten: the handler writes the right one."""
    watched.patch(serviceStatus={"vncSessions": 7})
    watched.wait_for(1)


def test_a_companion_that_is_deleted_is_back(client: Client, watched: Vmi) -> None:
    """As long as its VMI exists."""
    before = watched.companion()
    assert before is not None
    client.delete(watched.companion_path)
    watched.wait_told(seen(1))
    after = watched.companion()
    assert after is not None
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["status"]["since"] == before["status"]["since"]


def test_a_companion_that_is_edited_is_put_right(client: Client, watched: Vmi) -> None:
    """Number and conditions."""
    status = {"vncSessions": 7, "nodeName": "elsewhere"}
    client.patch(f"{watched.companion_path}/status", {"status": status})
    watched.wait_told(seen(1))
    companion = watched.companion()
    assert companion is not None
    assert companion["status"]["nodeName"] == "shared-node"


def test_a_label_that_is_taken_away_is_put_back(client: Client, watched: Vmi, peers: Peers) -> None:
    """Without it no watch shows the companion; the next write of the handler finds out."""
    client.patch(watched.companion_path, {"metadata": {"labels": {LABEL: "elsewhere"}}})

    watched.wait_told(seen(1))
    peers.connect(watched.socket, sessions=2).wait_published()
    companion = watched.companion()
    assert companion is not None
    assert companion["metadata"]["labels"] == {LABEL: "shared-node"}
