"""A real node: the basis of the tests of the DaemonSet and of KubeVirt."""

import json
import urllib.request
from pathlib import Path

import pytest

from hack.builds import go, gotools
from testbed.waiting import wait_until
from tests.cluster import debian
from tests.cluster.commands import CommandError, run
from tests.cluster.images import REGISTRY, File, Image, write_archive, write_layer
from tests.cluster.objects import pod
from tests.cluster.tools import tool
from tests.cluster.workloads import Workloads
from tests.node.place import Ability, Place
from tests.node.site import Site


def program(name: str, path: Path) -> dict[str, File]:
    """Return the files of a layer in which a program of this machine runs: itself and its shared libraries."""
    libraries = [word for word in run("ldd", path).split() if word.startswith("/")]
    files = {name: path, **{library: Path(library) for library in libraries}}
    return {inside: File(outside.read_bytes(), mode=0o755) for inside, outside in files.items()}


def wait_printed(cluster: Workloads, namespace: str, name: str, text: str) -> None:
    """A pod that is Ready has begun, and may not have printed anything yet."""

    def log() -> str:
        return cluster.kubectl("logs", name, "-n", namespace, check=False)

    wait_until(log, text.__eq__, what=f"{name} has printed {text!r}", timeout=60, interval=0.2)


@pytest.mark.needs(Ability.OWN)
def test_the_node_is_ready_with_a_real_runtime(cluster: Workloads) -> None:
    """kubelet has the chosen version, containerd that of go.mod."""
    versions = "{.items[*].status.nodeInfo['kubeletVersion','containerRuntimeVersion']}"
    containerd = gotools.version_of("github.com/containerd/containerd/v2", go.GO_MOD.read_text()).removeprefix("v")
    runs = f"{gotools.kubernetes_version()} containerd://{containerd}"
    assert cluster.kubectl("get", "nodes", f"--output=jsonpath={versions}") == runs


def test_a_pod_is_scheduled_and_runs(place: Place, namespace: str) -> None:
    """Its log can be read, and commands run in it."""
    command = ["sh", "-c", "echo hello; exec sleep 3600"]
    place.cluster.run_pod(pod("sleeper", namespace, image=place.images.busybox, command=command))
    wait_printed(place.cluster, namespace, "sleeper", "hello\n")
    assert place.cluster.exec(namespace, "sleeper", "cat", "/proc/1/comm") == "sleep\n"


@pytest.mark.needs(Ability.IMPORT)
def test_an_image_from_an_archive_runs(site: Site, namespace: str, tmp_path: Path) -> None:
    """Imported into the running node, it runs with its own files, user and entrypoint."""
    busybox = File((debian.unpacked() / "bin/busybox").read_bytes(), mode=0o755)
    layer = write_layer(tmp_path / "layer.tar", {"busybox": busybox, "greeting": File(b"from an archive\n")})
    greet = ["/busybox", "sh", "-c", "/busybox id -u; /busybox cat /greeting; exec /busybox sleep 3600"]
    image = Image(f"{REGISTRY}/greeter:1", [layer], entrypoint=greet, user="107")
    site.node.import_images(write_archive(tmp_path / "archive.tar", [image]))
    site.cluster.run_pod(pod("greeter", namespace, image=image.tag))
    wait_printed(site.cluster, namespace, "greeter", "107\nfrom an archive\n")


@pytest.mark.needs(Ability.IMPORT)
def test_a_pod_reaches_the_api_server_as_its_service(site: Site, namespace: str, tmp_path: Path) -> None:
    """By the service's address and certificate, with the token that kubelet has projected, which names pod and node."""
    layer = write_layer(tmp_path / "layer.tar", program("/kubectl", tool("kubectl")))
    image = Image(f"{REGISTRY}/kubectl:1", [layer], user="107")
    site.node.import_images(write_archive(tmp_path / "archive.tar", [image]))
    site.cluster.run_pod(pod("client", namespace, image=image.tag, command=["/kubectl", "proxy"]))
    answer = json.loads(site.cluster.exec(namespace, "client", "/kubectl", "auth", "whoami", "--output=json"))
    user = answer["status"]["userInfo"]
    assert user["username"] == f"system:serviceaccount:{namespace}:default"
    assert user["extra"]["authentication.kubernetes.io/node-name"] == ["n1"]
    assert user["extra"]["authentication.kubernetes.io/pod-name"] == ["client"]


def test_a_port_of_a_pod_is_forwarded(place: Place, namespace: str) -> None:
    """A server in a pod can be reached from outside the cluster."""
    serve = "mkdir /www; echo served > /www/index.html; exec httpd -f -p 8080 -h /www"
    place.cluster.run_pod(pod("server", namespace, image=place.images.busybox, command=["sh", "-c", serve]))
    with place.cluster.port_forward(namespace, "pod/server", 8080) as port:

        def fetch() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=10) as answer:
                return str(answer.read(), "ascii")

        served = wait_until(fetch, what="the pod serves", retry_on=(OSError,), interval=0.1)
    assert served == "served\n"


@pytest.mark.needs(Ability.LOOK)
def test_kubelet_keeps_a_pods_volumes_where_a_daemon_set_looks_for_them(site: Site, namespace: str) -> None:
    """A socket's folder in a pod is found by the pod's UID under /var/lib/kubelet/pods."""
    manifest = pod(
        "writer", namespace, image=site.images.busybox, command=["sh", "-c", "echo here > /v/file; exec sleep 3600"]
    )
    manifest["spec"]["volumes"] = [{"name": "volume", "emptyDir": {}}]
    manifest["spec"]["containers"][0]["volumeMounts"] = [{"name": "volume", "mountPath": "/v"}]
    uid = site.cluster.run_pod(manifest)["metadata"]["uid"]
    volume = f"/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/volume"
    wait_until(
        lambda: site.node.exec("cat", f"{volume}/file"), "here\n".__eq__, what="it is written", retry_on=(CommandError,)
    )


@pytest.mark.needs(Ability.POWER)
def test_a_stopped_node_comes_back_and_runs_its_pods_again(site: Site, namespace: str) -> None:
    """After a power cut the pod is the same, its container a new one; the content of its volume is still there."""
    manifest = pod("counter", namespace, image=site.images.busybox)
    manifest["spec"]["containers"][0]["command"] = ["sh", "-c", "echo boot >> /v/boots; cat /v/boots; exec sleep 3600"]
    manifest["spec"]["volumes"] = [{"name": "volume", "emptyDir": {}}]
    manifest["spec"]["containers"][0]["volumeMounts"] = [{"name": "volume", "mountPath": "/v"}]
    site.cluster.run_pod(manifest)
    wait_printed(site.cluster, namespace, "counter", "boot\n")
    node = site.node
    node.stop()
    assert not node.running
    node.start()
    wait_printed(site.cluster, namespace, "counter", "boot\nboot\n")
