"""A process in a launcher pod may put anything into the pod's volume: this affects only its own VM's number."""

import ctypes
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peers
from tests.apiserver.vmis import Vmi, new_uid, seen, told, unknown

pytestmark = pytest.mark.usefixtures("service_status_schema", "handler")

# Below the pod's own directory, from the outermost.
COMPONENTS = ("", "volumes", "volumes/kubernetes.io~empty-dir", "volumes/kubernetes.io~empty-dir/service-status")


@pytest.fixture
def node(shared_node: Node) -> Node:
    return shared_node


@pytest.fixture
def handler(shared_handler: Handler) -> Handler:
    return shared_handler


Neighbour = Callable[[], None]


@pytest.fixture(autouse=True)
def neighbour(client: Client, namespace: str, node: Node, peers: Peers) -> Iterator[Neighbour]:
    """Another VM of the node. When called, and at the end of each test, it checks that its viewers are counted."""
    vmi = node.run(Vmi(client, namespace, "neighbour"))
    peer = peers.connect(vmi.socket)

    def check() -> None:
        peer.report(peer.sessions + 1)
        peer.wait_published()

    yield check
    check()


@pytest.fixture
def hostile(client: Client, namespace: str) -> Vmi:
    return Vmi(client, namespace, "hostile")


def rejections(handler: Handler, vmi: Vmi) -> list[str]:
    """Return what the log says about the VMI's pod."""
    lines = handler.lines("WARNING handler_service.endpoints.pod_endpoints")
    return [line for line in lines if line.endswith(f" pod={vmi.pod}")]


def wait_refused(handler: Handler, vmi: Vmi, text: str) -> None:
    """Wait for the warning; it is logged once, however often the handler tries."""
    wait_until(lambda: rejections(handler, vmi), what="it is refused")
    assert [text in line for line in rejections(handler, vmi)] == [True], rejections(handler, vmi)


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_symlink_in_the_path_is_not_followed(
    handler: Handler, node: Node, hostile: Vmi, tmp_path: Path, component: str
) -> None:
    """At any depth; nothing is bound at its target."""
    hostile.pod = new_uid()
    elsewhere = tmp_path / "elsewhere"
    node.pods.add(hostile.pod)
    part = node.pods.path / hostile.pod / component
    part.rename(elsewhere)
    part.symlink_to(elsewhere)
    hostile.create(node.name, pods={hostile.pod: node.name})
    wait_refused(handler, hostile, "Not a directory")
    assert list(elsewhere.rglob("handler.sock")) == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_file_where_a_directory_should_be_is_refused(
    handler: Handler, node: Node, hostile: Vmi, component: str
) -> None:
    """Nothing is removed."""
    hostile.create(node.name)
    part = node.pods.path / hostile.pod / component
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_text("mine")
    wait_refused(handler, hostile, "Not a directory")
    assert part.read_text() == "mine"


def _file(path: Path) -> None:
    path.write_text("mine")


def _symlink(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _directory(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("make", [_file, _symlink, _directory, _pipe])
def test_what_stands_in_the_sockets_place_is_left_there(
    handler: Handler, node: Node, hostile: Vmi, make: Callable[[Path], None]
) -> None:
    """It is not a socket of an earlier handler, so the handler does not remove it."""
    hostile.pod = new_uid()
    path = node.pods.add(hostile.pod)
    make(path)
    before = path.lstat()
    hostile.create(node.name, pods={hostile.pod: node.name})
    wait_refused(handler, hostile, "handler.sock")
    assert path.lstat().st_ino == before.st_ino


def test_why_nothing_is_known_is_told_in_the_companion(node: Node, hostile: Vmi) -> None:
    """The reason is not a missing agent; when the directory is right again, the condition ends."""
    hostile.pod = new_uid()
    path = node.pods.add(hostile.pod)
    path.write_text("mine")
    hostile.create(node.name, pods={hostile.pod: node.name})
    hostile.wait_told(unknown(0, "SocketRefused"))
    companion = hostile.companion()
    assert companion is not None
    (observed,) = (c for c in companion["status"]["conditions"] if c["type"] == "Observed")
    assert observed["message"].startswith(
        "The handler's socket in the launcher pod was replaced or removed by a process in the pod and is ignored. "
    )
    assert observed["message"].endswith(
        "/service-status/handler.sock is there and is no socket: move it away, or name another)"
    )
    path.unlink()
    hostile.wait_told(unknown(0, "NoAgent"), timeout=60)


def test_a_dead_handlers_socket_is_replaced(node: Node, hostile: Vmi, peers: Peers) -> None:
    """A killed handler leaves a socket without a listener."""
    hostile.pod = new_uid()
    path = node.pods.add(hostile.pod)
    dead = socket.socket(socket.AF_UNIX)
    here = os.open(path.parent, os.O_PATH)
    dead.bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)
    dead.close()
    hostile.create(node.name, pods={hostile.pod: node.name})
    peers.connect(path, sessions=1).wait_published()


def test_a_directory_that_is_swapped_is_let_go(handler: Handler, node: Node, hostile: Vmi, peers: Peers) -> None:
    """The old directory's socket is closed, and the new directory, which is the pod's own, is served."""
    node.run(hostile)
    peer = peers.connect(hostile.socket, sessions=1)
    peer.wait_published()
    volume = hostile.socket.parent
    new = volume.with_name("new")
    shutil.copytree(volume, new, ignore=lambda *_: ["handler.sock"])
    volume.rename(volume.with_name("former"))
    new.rename(volume)
    assert peer.wait_ended()[0] == "UNAVAILABLE"
    peers.connect(hostile.socket, sessions=2).wait_published()
    assert hostile.service_status() == {"vncSessions": 2}


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_directory_that_becomes_a_symlink_under_us_is_let_go(
    handler: Handler, node: Node, hostile: Vmi, peers: Peers, component: str
) -> None:
    """One warning; nothing is served there, and its agent's stream has ended."""
    node.run(hostile)
    peer = peers.connect(hostile.socket)
    peer.wait_published()
    part = node.pods.path / hostile.pod / component
    moved = node.pods.path / f"moved-{hostile.pod}"
    part.rename(moved)
    part.symlink_to(moved)
    assert peer.wait_ended()[0] == "UNAVAILABLE"
    wait_refused(handler, hostile, "Not a directory")


def test_a_socket_that_is_taken_away_is_told(
    handler: Handler, node: Node, hostile: Vmi, neighbour: Neighbour, peers: Peers
) -> None:
    """Its pod can no longer report; after a while the handler binds it again."""
    node.run(hostile)
    peer = peers.connect(hostile.socket)
    peer.wait_published()
    hostile.socket.unlink()
    wait_refused(handler, hostile, "was removed or replaced")
    assert peer.wait_ended()[0] == "UNAVAILABLE"
    neighbour()
    peers.connect(hostile.socket, sessions=1).wait_published()


def test_a_directory_that_vanishes_is_no_trouble(
    handler: Handler, node: Node, hostile: Vmi, neighbour: Neighbour, peers: Peers
) -> None:
    """A pod that ends: no warning."""
    node.run(hostile)
    peer = peers.connect(hostile.socket)
    peer.wait_published()
    node.pods.remove(hostile.pod)
    assert peer.wait_ended()[0] == "UNAVAILABLE"
    neighbour()
    assert rejections(handler, hostile) == []


@pytest.mark.parametrize("component", COMPONENTS[1:])
def test_a_foreign_file_system_in_the_path_is_refused(
    handler: Handler, node: Node, hostile: Vmi, component: str
) -> None:
    """An emptyDir of the default medium is a plain directory; a file system mounted over it is not the kubelet's."""
    if os.geteuid() != 0:
        return  # only root can mount; the rest of the file needs no root
    hostile.pod = new_uid()
    part = node.pods.path / hostile.pod / component
    part.mkdir(parents=True)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(b"none", os.fsencode(part), b"tmpfs", 0, None) == 0, os.strerror(ctypes.get_errno())
    try:
        (node.pods.volume(hostile.pod)).mkdir(parents=True, exist_ok=True)
        hostile.create(node.name, pods={hostile.pod: node.name})
        wait_refused(handler, hostile, "it is on another file system")
    finally:
        assert libc.umount2(os.fsencode(part), 2) == 0


@pytest.mark.parametrize("uid", ["../../etc", "..", "x" * 300, "", "11111111-2222-3333-4444-55555555555g"])
def test_a_name_that_is_no_uid_is_not_looked_for(
    client: Client, namespace: str, node: Node, neighbour: Neighbour, uid: str
) -> None:
    """Keys of `activePods` come from the API: they are not trusted as file names."""
    Vmi(client, namespace, "odd").create(node.name, pods={uid: node.name})
    neighbour()


def test_pods_that_ended_on_other_nodes_do_not_hide_ours(
    client: Client, namespace: str, node: Node, peers: Peers
) -> None:
    """A VMI with eighteen failed migrations still has those pods in its status."""
    vmi = Vmi(client, namespace, "unlucky")
    vmi.pod = new_uid()
    ended = {new_uid(): f"other-{number}" for number in range(18)}
    vmi.create(node.name, pods={**ended, vmi.pod: node.name})
    peers.connect(node.pods.add(vmi.pod), sessions=1)
    vmi.wait_told(seen(1))


@pytest.mark.parametrize("left_out", [False, True], ids=["it is served", "it is left out"])
def test_added_pods_never_prove_a_zero_while_a_viewer_is_connected_to_the_real_one(
    client: Client, namespace: str, node: Node, peers: Peers, left_out: bool
) -> None:
    """Sixteen more pods here, each with an agent that reports no viewer. Whichever are served, the viewer shows."""
    vmi = Vmi(client, namespace, "crowded")
    # An API server sorts the keys of `activePods`, and the first sixteen are served.
    vmi.pod = f"{'f' if left_out else '0'}0000000{new_uid()[8:]}"
    added = sorted(f"8{new_uid()[1:]}" for _ in range(16))
    vmi.create(node.name, pods={vmi.pod: node.name})
    vmi.socket = node.pods.add(vmi.pod)
    peer = peers.connect(vmi.socket, sessions=1)
    vmi.wait_told(seen(1))
    with vmi.record_companion() as companions:
        sockets = [node.pods.add(uid) for uid in added]
        vmi.patch(activePods=dict.fromkeys(added, node.name))
        vmi.wait_told(unknown(1, "TooManyPods"), timeout=60)
        served = sockets if left_out else sockets[:-1]
        wait_until(lambda: [path for path in sockets if path.exists()] == served, what="the others are served")
        for path in served:
            peers.connect(path)
        if left_out:
            assert peer.wait_ended()[0] == "UNAVAILABLE"
        else:
            peer.report(0)
            peer.report(1)
        vmi.patch(activePods=dict.fromkeys(added))
        if left_out:
            peers.connect(vmi.socket, sessions=1)
        vmi.wait_told(seen(1), timeout=60)
    claims = companions.values(told)
    assert not [claim for claim in claims if claim is None or claim[1] == "True"], claims


def test_an_added_pod_does_not_speak_for_a_pod_without_an_agent(
    client: Client, namespace: str, node: Node, peers: Peers
) -> None:
    """The VM was started before the agent was installed; a user who may create pods adds one that reports no viewer."""
    vmi = Vmi(client, namespace, "older").create(node.name)
    (node.pods.volume(vmi.pod).parent / "libvirt-runtime").mkdir(parents=True)
    vmi.wait_told(unknown(0, "NoAgent"), timeout=60)
    with vmi.record_companion() as companions:
        added = new_uid()
        socket_of_added = node.pods.add(added)
        vmi.patch(activePods={added: node.name})
        peers.connect(socket_of_added).wait_published()
        node.pods.remove(vmi.pod)
        vmi.wait_told(seen(0), timeout=60)
    claims = companions.values(told)
    assert claims[0] == unknown(0, "NoAgent")
    assert [claim for claim in claims if claim[1] == "True"] == [seen(0)], claims
