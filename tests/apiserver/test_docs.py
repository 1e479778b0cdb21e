"""The examples of docs/ that run in a cluster, as a user who may view a namespace, and nothing else.

One VM, `fedora`, with a scripted agent. Each scene is the state in which a page shows its commands.
"""

import contextlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from hack.builds.recipes import build as build_recipes
from servicestatus.v1 import session_report_service_pb2 as pb
from testbed.documents import Example, examples
from testbed.playing import Scene, play
from testbed.processes import ManagedProcess
from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.identities import BASE
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peer, Peers
from tests.apiserver.vmis import Vmi, seen, unknown
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kinds import define_kinds
from tests.cluster.objects import Object
from tests.cluster.tools import REPOSITORY, tool

RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture
def node(shared_node: Node) -> Node:
    return shared_node


@pytest.fixture
def vmi(client: Client, namespace: str, node: Node, shared_handler: Handler) -> Vmi:
    return node.run(Vmi(client, namespace, "fedora"))


@pytest.fixture
def peer(vmi: Vmi, peers: Peers) -> Peer:
    """The agent of `vmi`, which has reported that no viewer is connected."""
    connected = peers.connect(vmi.socket)
    connected.wait_published()
    return connected


@pytest.fixture(scope="session")
def recipes() -> Path:
    """Return the folder of the Go programs in docs/, built."""
    return build_recipes()


@pytest.fixture
def viewer(control_plane: ControlPlane, client: Client, namespace: str) -> Path:
    """The kubeconfig of a user with the ClusterRole `view` in the namespace, which is the kubeconfig's default."""
    path = f"{RBAC}/namespaces/{namespace}/rolebindings"
    client.post(path, _binding("viewer", "view", namespace))
    kubeconfig = control_plane.kubeconfig_with(control_plane.token(namespace, "default"))
    _wait_for_rights(Client(kubeconfig), namespace)
    return _working_in(namespace, kubeconfig)


@pytest.fixture
def ui(control_plane: ControlPlane, client: Client, namespace: str) -> Iterator[str]:
    """The address of a `kubectl proxy` with the identity of a UI, which has the page's ClusterRole."""
    (role,) = {example.files["clusterrole.yaml"] for example in examples("cluster of a UI")}
    binding = _binding(f"console-{namespace}", f"console-{namespace}", namespace)
    client.post(f"{RBAC}/clusterroles", {**yaml.safe_load(role), "metadata": binding["metadata"]})
    client.post(f"{RBAC}/clusterrolebindings", binding)
    kubeconfig = control_plane.kubeconfig_with(control_plane.token(namespace, "default"))
    _wait_for_rights(Client(kubeconfig), "")
    log = kubeconfig.with_suffix(".log")
    with ManagedProcess([tool("kubectl"), f"--kubeconfig={kubeconfig}", "proxy", "--port=0"], log=log) as proxy:
        proxy.wait_for_log("Starting to serve on ")
        yield "http://" + proxy.log_text().rpartition(" on ")[2].strip()
    client.delete(f"{RBAC}/clusterrolebindings/{binding['metadata']['name']}")
    client.delete(f"{RBAC}/clusterroles/{binding['metadata']['name']}")


def _binding(name: str, role: str, namespace: str) -> Object:
    """The right of a ClusterRole for the namespace's ServiceAccount `default`."""
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    }


def _wait_for_rights(user: Client, namespace: str) -> None:
    """The API server sees a new binding after a moment, and its controllers aggregate a role after a moment."""
    attributes = {"verb": "watch", "group": "servicestatus.kubevirt.io", "namespace": namespace}
    attributes["resource"] = "virtualmachineinstanceservicestatuses"
    review = {"spec": {"resourceAttributes": attributes}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    with contextlib.closing(user):
        wait_until(lambda: user.post(path, review)["status"]["allowed"], what="the viewer may view", interval=0.05)


def _working_in(namespace: str, kubeconfig: Path) -> Path:
    config = json.loads(kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    kubeconfig.write_text(json.dumps(config))
    return kubeconfig


def _environment(kubeconfig: Path, folder: Path) -> dict[str, str]:
    """kubectl is the one built here, python is that of this environment."""
    path = [tool("kubectl").parent, Path(sys.executable).parent, os.environ["PATH"]]
    return {"PATH": ":".join(map(str, path)), "KUBECONFIG": str(kubeconfig), "KUBECACHEDIR": str(folder / "cache")}


# --- scenes -----------------------------------------------------------------------------------------------------------


def _viewers(number: int) -> Callable[[Vmi, Peer], Scene]:
    """So many viewers are connected, and nothing changes."""

    def scene(vmi: Vmi, peer: Peer) -> Scene:
        _set(vmi, peer, number)
        yield

    return scene


def _posted_event(vmi: Vmi, peer: Peer) -> Scene:
    _set(vmi, peer, 1)
    events = f"/apis/events.k8s.io/v1/namespaces/{vmi.namespace}/events"
    wait_until(lambda: vmi._client.get(events)["items"], what="an event is there", interval=0.1)
    yield


def _set(vmi: Vmi, peer: Peer, sessions: int) -> None:
    if peer.sessions != sessions:
        peer.report(sessions)
    vmi.wait_told(seen(sessions))
    peer.wait_published()


def _stop(vmi: Vmi, peer: Peer) -> None:
    peer.say(pb.ReportSessionsRequest(goodbye=pb.Goodbye(reason=pb.GOODBYE_REASON_SHUTDOWN)))
    vmi.wait_told(unknown(peer.sessions, "AgentStopped"))


def _stopped(vmi: Vmi, peer: Peer) -> Scene:
    _stop(vmi, peer)
    yield


def _come_and_go(vmi: Vmi, peer: Peer) -> Scene:
    command = yield
    command.wait_for_log("True")
    for sessions in (1, 2, 0):
        _set(vmi, peer, sessions)


def _come_and_end(vmi: Vmi, peer: Peer) -> Scene:
    command = yield
    command.wait_for_log("is connected", timeout=90)  # after the compiler, which computes for 3 s
    _set(vmi, peer, 1)
    command.wait_for_log("1 connected")
    _stop(vmi, peer)
    command.wait_for_log("may be connected")
    vmi.delete()


def _leave(vmi: Vmi, peer: Peer) -> Scene:
    _set(vmi, peer, 1)
    yield
    _set(vmi, peer, 0)


def _leave_while_it_waits(vmi: Vmi, peer: Peer) -> Scene:
    _set(vmi, peer, 1)
    command = yield
    command.wait_for_log("waiting: ")
    _set(vmi, peer, 0)


def _connect_itself(vmi: Vmi, peer: Peer) -> Scene:
    """The command's own session, which ends with it."""
    command = yield
    command.wait_for_log("an action")
    _set(vmi, peer, 1)
    _set(vmi, peer, 0)


def _come_meanwhile(vmi: Vmi, peer: Peer) -> Scene:
    command = yield
    command.wait_for_log("a long action")
    _set(vmi, peer, 1)


SCENES: Mapping[str, Callable[[Vmi, Peer], Scene]] = {
    "no viewer": _viewers(0),
    "one viewer": _viewers(1),
    "an event is posted": _posted_event,
    "the agent was stopped": _stopped,
    "a viewer comes, a second one, and both leave": _come_and_go,
    "a viewer comes, its agent is stopped, and the VM ends": _come_and_end,
    "the viewer leaves": _leave,
    "the viewer leaves while it waits": _leave_while_it_waits,
    "a viewer comes while it acts": _come_meanwhile,
    "it connects itself": _connect_itself,
}


# --- examples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", examples("cluster"), ids=str)
def test_it_prints_what_the_page_says(
    example: Example, viewer: Path, vmi: Vmi, peer: Peer, recipes: Path, tmp_path: Path
) -> None:
    """On any KubeVirt, for a user who may view the namespace."""
    for program in recipes.iterdir():
        (tmp_path / program.name).symlink_to(program)
    play(example, SCENES[example.scene](vmi, peer), tmp_path, _environment(viewer, tmp_path))


@pytest.mark.parametrize("example", examples("pod"), ids=str)
def test_it_prints_in_a_pod_what_the_page_says(
    example: Example, control_plane: ControlPlane, viewer: Path, vmi: Vmi, peer: Peer, tmp_path: Path
) -> None:
    """With the files and variables of a pod of that ServiceAccount, and no kubeconfig."""
    account = tmp_path / "account"
    account.mkdir()
    shutil.copy(control_plane.ca, account / "ca.crt")
    (account / "token").write_text(json.loads(viewer.read_text())["users"][0]["user"]["token"])
    (account / "namespace").write_text(vmi.namespace)
    server = urlsplit(control_plane.url)
    environment = {
        **_environment(tmp_path / "no-kubeconfig", tmp_path),
        "KUBERNETES_SERVICE_HOST": str(server.hostname),
        "KUBERNETES_SERVICE_PORT": str(server.port),
    }
    example = replace(example, command=_in_pod(example.command, account))
    play(example, SCENES[example.scene](vmi, peer), tmp_path, environment)


def _in_pod(command: str, account: Path) -> str:
    """The command with the account's files where a kubelet mounts them, in a mount namespace of its own."""
    become = "" if os.geteuid() == 0 else "--user --map-root-user"
    place = "/run/secrets/kubernetes.io/serviceaccount"
    mount = f"mount -t tmpfs none /run; mkdir -p {place}; cp {account}/* {place}; exec bash -c {shlex.quote(command)}"
    return f"exec unshare {become} --mount -- sh -ec {shlex.quote(mount)}"


@pytest.mark.parametrize("example", examples("cluster of a UI"), ids=str)
def test_it_prints_what_the_page_says_of_all_namespaces(
    example: Example, ui: str, vmi: Vmi, peer: Peer, tmp_path: Path
) -> None:
    """For a UI that has the right of the page, and no other."""
    environment = {"PATH": os.environ["PATH"], "SERVER": ui, "NAMESPACE": vmi.namespace}
    play(example, SCENES[example.scene](vmi, peer), tmp_path, environment)


@pytest.mark.usefixtures("service_status_schema")
@pytest.mark.parametrize("example", examples("cluster with the field"), ids=str)
def test_it_prints_what_the_page_says_of_the_vmi(
    example: Example, control_plane: ControlPlane, vmi: Vmi, peer: Peer, tmp_path: Path
) -> None:
    """On a KubeVirt with VEP #119's field, for a user who may view VMIs."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(control_plane.kubeconfig.read_text())
    environment = _environment(_working_in(vmi.namespace, kubeconfig), tmp_path)
    play(example, SCENES[example.scene](vmi, peer), tmp_path, environment)


@pytest.mark.parametrize("example", examples("cluster without an agent"), ids=str)
def test_it_prints_what_the_page_says_of_a_vm_that_has_opted_out(
    example: Example, viewer: Path, vmi: Vmi, tmp_path: Path
) -> None:
    """One lease after its start, for a user who may view the namespace."""
    vmi.patch(labels={"servicestatus.kubevirt.io/inject": "false"})
    vmi.wait_told(unknown(0, "NoAgent"), timeout=60)
    play(example, _still(), tmp_path, _environment(viewer, tmp_path))


def test_it_prints_what_the_pages_say_of_a_cluster_without_kubevirt(tmp_path: Path) -> None:
    """From top to bottom, since one cluster gets the project between two examples."""
    with ControlPlane(tmp_path / "plane") as bare:
        for number, example in enumerate(examples("a cluster without KubeVirt")):
            if example.scene == "this project is installed":
                define_kinds(bare.kubectl)
                bare.apply(BASE)
            folder = tmp_path / str(number)
            folder.mkdir()
            play(example, _still(), folder, _environment(bare.kubeconfig, folder))


@pytest.mark.parametrize("example", examples("a kustomization"), ids=str)
def test_a_kustomization_of_a_page_is_one(example: Example, tmp_path: Path) -> None:
    """With this tree as its base it builds what the page shows; nothing is applied."""
    shutil.copytree(REPOSITORY / "manifests", tmp_path / "vmi-service-status/manifests")
    play(example, _still(), tmp_path, _environment(tmp_path / "none", tmp_path))


def _still() -> Scene:
    yield
