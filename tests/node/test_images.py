"""The contents of the two images, and that each runs as deployed: root read-only, no capability, a seccomp profile."""

import re
from collections.abc import Callable, Iterator

import pytest

from testbed.waiting import wait_until
from tests.cluster.objects import Object, pod
from tests.cluster.workloads import Workloads
from tests.node.archives import AGENT, HANDLER, Archive, archive_of
from tests.node.place import Ability, Place
from tests.node.pods import NodePod
from tests.node.site import Site

# 1980-01-01, unless a release says another.
EPOCH = 315532800
MEGABYTE = 1000 * 1000
SITE = "usr/local/lib/python3.13/dist-packages"


@pytest.fixture(scope="module")
def agent() -> Archive:
    return Archive(archive_of(AGENT))


@pytest.fixture(scope="module")
def handler() -> Archive:
    return Archive(archive_of(HANDLER))


@pytest.fixture(scope="module", params=[AGENT, HANDLER])
def image(request: pytest.FixtureRequest) -> Archive:
    """Either image."""
    return Archive(archive_of(request.param))


# --- their contents ---------------------------------------------------------------------------------------------------


def test_an_image_is_small(image: Archive) -> None:
    """At most 150 MB unpacked: each node pulls both."""
    assert image.size <= 150 * MEGABYTE


def test_an_image_has_no_tool_that_an_intruder_could_use(image: Archive) -> None:
    """No shell, no package manager, no compiler: its commands are Python, the program, and the agent's process 1."""
    commands = {path.removeprefix("usr/bin/") for path in image.entries if path.startswith("usr/bin/")}
    programs = {AGENT, HANDLER, "socket-opener", "controller", "injection-webhook", "launcher-supervisor"}
    assert commands <= {"python3.13", *programs}
    tools = re.compile(r"(^|/)(pip|ensurepip|apt|dpkg-deb|gcc-\d+|cc1|ldconfig)(-[0-9.]+\.dist-info)?$")
    found = [path for path in image.entries if tools.search(path)]
    assert [path for path in found if not path.startswith("usr/share/doc/") and path != "etc/apt"] == []
    assert not any(path.startswith("var/lib/apt/") for path in image.entries)


def test_no_file_of_an_image_gives_privileges_or_may_be_written_by_all(image: Archive) -> None:
    """No setuid, no setgid; only the directories that POSIX requires are writable by all, and sticky."""
    files = {path: entry.mode for path, entry in image.entries.items() if not entry.issym()}
    assert [path for path, mode in files.items() if mode & 0o6000 and not path.startswith("var/")] == []
    assert {path for path, mode in files.items() if mode & 0o002} <= {"tmp", "var/tmp", "run/lock", "var/lock"}


def test_an_image_says_what_a_scanner_asks_for(image: Archive) -> None:
    """The distribution, each package with its version, and the licences."""
    assert "usr/lib/os-release" in image.entries
    packages = {path.rpartition("/")[2] for path in image.entries if path.startswith("var/lib/dpkg/status.d/")}
    assert {"libc6", "libssl3t64", "python3.13-minimal"} <= packages
    assert "usr/share/doc/libc6/copyright" in image.entries
    assert any(path.startswith(f"{SITE}/grpcio-") and path.endswith("/METADATA") for path in image.entries)


def test_every_module_is_compiled(image: Archive) -> None:
    """A read-only root never gets its .pyc, and without them each process needs 7.5 MiB more."""
    files = {path for path, entry in image.entries.items() if entry.isreg() and path.startswith("usr/")}
    modules = {path for path in files if path.endswith(".py")}
    compiled = {re.sub(r"__pycache__/(.*)\.cpython-313\.opt-2\.pyc$", r"\1.py", p) for p in files if p.endswith(".pyc")}
    assert modules - compiled == set()
    assert len(modules) > 500


def test_an_image_is_the_same_wherever_it_is_built(image: Archive) -> None:
    """It contains no date of its build."""
    assert {entry.mtime for entry in image.entries.values()} == {EPOCH}
    assert image.created == "1980-01-01T00:00:00Z"


def test_an_image_says_what_it_is_and_runs_as_nobody_in_particular(agent: Archive, handler: Archive) -> None:
    """A numeric user, so that `runAsNonRoot` can be checked; a command that needs no shell."""
    commands = {
        AGENT: ["/usr/bin/launcher-supervisor", "/usr/bin/launcher-agent"],
        HANDLER: ["/usr/bin/handler-service"],
    }
    for image, name in ((agent, AGENT), (handler, HANDLER)):
        assert image.config["User"] == "107:107"
        assert image.config["Entrypoint"] == commands[name]
        labels = image.config["Labels"]
        assert labels["org.opencontainers.image.title"] == name
        assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
        assert re.fullmatch(r"\d+\.\d+\.\d+", labels["org.opencontainers.image.version"])


def test_both_images_share_what_they_have_in_common(agent: Archive, handler: Archive) -> None:
    """A node stores and loads Python once: the lowest layer is the same, and the largest of the agent's."""
    assert agent.layers[0] == handler.layers[0]


def test_each_image_holds_its_own_program_alone(agent: Archive, handler: Archive) -> None:
    """And nothing that only the other one needs."""

    def packages(image: Archive) -> set[str]:
        names = (path.removeprefix(f"{SITE}/").split("/")[0] for path in image.entries if path.startswith(f"{SITE}/"))
        return {name for name in names if "-" not in name}

    assert {"launcher_agent", "servicestatus", "libvirt.py"} <= packages(agent)
    assert packages(agent).isdisjoint({"handler_service", "kubernetes", "prometheus_client", "pip", "setuptools"})
    assert {"handler_service", "servicestatus", "kubernetes"} <= packages(handler)
    assert packages(handler).isdisjoint({"launcher_agent", "libvirt.py", "pip", "setuptools"})


# --- that they run ----------------------------------------------------------------------------------------------------

Run = Callable[..., str]


def deployed(name: str, image: str, namespace: str, *arguments: str) -> Object:
    """A pod of an image, with all restrictions of the manifests."""
    made = pod(name, namespace, image=image)
    made["spec"] |= {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "fsGroup": 107, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "run", "emptyDir": {"sizeLimit": "1Mi"}}],
    }
    (container,) = made["spec"]["containers"]
    del container["command"]
    container |= {
        "args": list(arguments),
        "resources": {"limits": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "run", "mountPath": "/var/run/service-status"}],
    }
    return made


@pytest.fixture
def run(place: Place, namespace: str) -> Iterator[Run]:
    """Run an image with arguments and return its log as soon as it contains a text."""

    def started(image: str, *arguments: str, until: str) -> str:
        where = {AGENT: place.images.agent, HANDLER: place.images.handler}[image]
        place.cluster.create(deployed(image, where, namespace, *arguments))
        return wait_until(
            lambda: place.cluster.kubectl("logs", image, f"--namespace={namespace}", check=False),
            lambda log: until in log,
            what=f"{image} says {until!r}",
            timeout=120,
            interval=0.2,
        )

    yield started
    place.cluster.kubectl("delete", "pod", "--all", f"--namespace={namespace}")


@pytest.mark.parametrize("image", [AGENT, HANDLER])
def test_an_image_says_its_version(run: Run, image: str) -> None:
    """It starts as it is deployed; the DaemonSet's init container does the same."""
    assert re.fullmatch(rf"{image} \d+\.\d+\.\d+\n", run(image, "--version", until=image))


# In a shell of the node: how many milliseconds the process takes to end after SIGTERM.
STOP = """
start=$(date +%s%N)
kill -TERM $0
while [ -e /proc/$0/exe ]; do sleep 0.01; done
echo $((($(date +%s%N) - start) / 1000000))
"""


@pytest.mark.needs(Ability.LOOK)
def test_the_agent_waits_for_libvirt_and_ends_within_a_second(site: Site, namespace: str, run: Run) -> None:
    """With the CPU of its container, without libvirt and handler: a VM's end never waits for it."""
    run(AGENT, until="waiting for libvirt")
    agent = NodePod(site, site.client.get(f"/api/v1/namespaces/{namespace}/pods/{AGENT}"))
    (container,) = agent.object()["spec"]["containers"]
    milliseconds = site.node.exec("sh", "-c", STOP, str(agent.process(container["name"])))
    assert int(milliseconds) < 1000


# What a Python of the image prints after it has imported the agent as the image's script does, and used its messages.
IMPORTED = """
import sys
from launcher_agent.container import load
load()
from launcher_agent.main import configuration
configuration([], {})
from google.protobuf import timestamp_pb2
from servicestatus.v1 import session_report_service_pb2 as pb
message = pb.ReportSessionsRequest(heartbeat=pb.Heartbeat())
if pb.ReportSessionsRequest.FromString(message.SerializeToString()) != message:
    raise SystemExit("a message that was read again is another one")
timestamp_pb2.Timestamp().FromJsonString("2026-01-01T00:00:00Z")
print(sys.modules["typing_extensions"].__name__, sys.modules["google.protobuf.internal.python_message"].__spec__)
unused = {"_ssl", "argparse", "google.protobuf.internal.decoder", "grpc_reflection.v1alpha._base", "hmac"}
unused |= {"ipaddress", "urllib.parse"}
print(sorted(unused.intersection(sys.modules)))
"""


def test_the_agent_imports_nothing_that_it_does_not_use(cluster: Workloads, namespace: str, run: Run) -> None:
    """The Python and the packages of the image decide that: without these modules it has 17 MiB, not 20."""
    run(AGENT, until="waiting for libvirt")
    printed = cluster.exec(namespace, AGENT, "python3.13", "-IOO", "-c", IMPORTED)
    assert printed == "typing None\n[]\n"


def test_the_handler_serves_and_its_memory_is_jemallocs(cluster: Workloads, namespace: str, run: Run) -> None:
    """Without a cluster; other tests run it in one."""
    folder = "/var/run/service-status"
    paths = (f"--endpoint=default/vm={folder}/handler.sock", f"--file-dir={folder}", f"--admin-socket={folder}/a.sock")
    run(HANDLER, *paths, until="serving 1 endpoints")
    read = "import sys; sys.stdout.write(open('/proc/1/maps').read())"
    assert "libjemalloc.so.2" in cluster.exec(namespace, HANDLER, "python3.13", "-I", "-c", read)
