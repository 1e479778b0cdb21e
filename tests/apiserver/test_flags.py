"""Each flag of a handler in a cluster: a wrong value ends the program at once with one line, a right one works."""

import http.client
import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.grpcurl import binary
from testbed.processes import script
from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.nodes import SERVICE, Node
from tests.apiserver.peers import Peers
from tests.apiserver.vmis import Vmi
from tests.cluster.ports import free_port

pytestmark = pytest.mark.usefixtures("service_status_schema")


def run(*flags: str | Path, env: dict[str, str] | None = None) -> tuple[int, list[str]]:
    """Return the exit status and the lines of standard error."""
    done = subprocess.run(
        [script("handler-service"), *flags], capture_output=True, text=True, timeout=120, check=False, env=env or {}
    )
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


@pytest.fixture
def right(tmp_path: Path) -> dict[str, str]:
    """Return valid flags; no API server listens at their address."""
    kubeconfig = tmp_path / "kubeconfig"
    config = {
        "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "a", "user": {}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }
    kubeconfig.write_text(json.dumps(config))
    (tmp_path / "file").write_text("no: kubeconfig\n")
    return {
        "--publisher": "auto",
        "--node-name": "n1",
        "--opener": str(tmp_path / "opener.sock"),
        "--kubeconfig": str(kubeconfig),
        "--admin-socket": str(tmp_path / "admin.sock"),
    }


@pytest.mark.parametrize(
    ("flag", "value", "problem"),
    [
        ("--publisher", "etcd", "invalid choice: 'etcd'"),
        ("--node-name", None, "is needed with --publisher auto"),
        ("--node-name", "", "is not the name of a node"),
        ("--node-name", "Node_1", "is not the name of a node"),
        ("--opener", None, "is needed with --publisher auto"),
        ("--opener", "/nowhere/opener.sock", "/nowhere is not a directory"),
        ("--kubeconfig", "/nowhere", "/nowhere is not a file"),
        ("--kubeconfig", "{folder}/file", "{folder}/file: "),
        ("--api-timeout", "10", "'10' is not a duration"),
        ("--api-timeout", "100ms", "100ms is not between 0.5s and 60s"),
        ("--watch-timeout", "0s", "0s is not between 1s and 3600s"),
        ("--lease", "6s", "6s is less than two heartbeat intervals"),
        ("--heartbeat-interval", "1ms", "1ms is not between 0.1s and 60s"),
        ("--poll", "usb-redirection", "is not SERVICE=DURATION"),
        ("--poll", "spice=5s", "'spice' is not a service that can be polled"),
        ("--poll", "serial-console=61s", "61s is not between 1s and 60s"),
        ("--probe-address", "8080", "is not HOST:PORT"),
        ("--probe-address", ":99999", "with a port from 1 to 65535"),
        ("--metrics-address", "example.org:80", "'example.org' does not appear to be an IPv4 or IPv6 address"),
        ("--admin-address", "0.0.0.0:8186", "is not a loopback address"),
        ("--admin-address", ":8186", "is not a loopback address"),
        ("--admin-socket", "/nowhere/admin.sock", "/nowhere is not a directory"),
        ("--endpoint", "a/b={folder}/s", "is only valid with --publisher file, not with auto"),
    ],
)
def test_a_wrong_value_is_one_line_and_exit_status_2(
    right: dict[str, str], tmp_path: Path, flag: str, value: str | None, problem: str
) -> None:
    """The line names the flag and says what is wrong with its value."""
    flags = right | {flag: value.format(folder=tmp_path) if value is not None else None}
    status, lines = run(*(f"{name}={value}" for name, value in flags.items() if value is not None))
    assert (status, len(lines)) == (2, 1), lines
    assert lines[0].startswith(f"handler-service: error: argument {flag}: ")
    assert problem.format(folder=tmp_path) in lines[0]


def test_outside_of_a_cluster_a_kubeconfig_is_needed(right: dict[str, str]) -> None:
    """Outside a pod there is no service account to use instead."""
    del right["--kubeconfig"]
    status, lines = run(*(f"{name}={value}" for name, value in right.items()))
    assert (status, len(lines)) == (2, 1), lines
    assert lines[0].startswith("handler-service: error: argument --kubeconfig: the pod's service account: ")


@pytest.mark.parametrize(
    "kubeconfig",
    [
        "",
        "7",
        "[]",
        "{",
        "\0",
        '{"current-context": "a"}',
        '{"clusters": [], "contexts": [], "users": [], "current-context": "a"}',
        '{"clusters": 7, "contexts": 7, "users": 7, "current-context": 7}',
    ],
)
def test_whatever_is_no_kubeconfig_is_told_as_such(right: dict[str, str], kubeconfig: str) -> None:
    """One line, without a traceback."""
    Path(right["--kubeconfig"]).write_text(kubeconfig)
    status, lines = run(*(f"{name}={value}" for name, value in right.items()))
    assert (status, len(lines)) == (2, 1), lines
    assert lines[0].startswith("handler-service: error: argument --kubeconfig: ")


@pytest.mark.parametrize("name", ["certificate-authority", "tokenFile"])
def test_a_file_that_a_kubeconfig_names_has_to_be_there(right: dict[str, str], name: str) -> None:
    """The line names it."""
    path = Path(right["--kubeconfig"])
    config = json.loads(path.read_text())
    part = config["users"][0]["user"] if name == "tokenFile" else config["clusters"][0]["cluster"]
    part[name] = "/nowhere/at-all"
    path.write_text(json.dumps(config))
    status, lines = run(*(f"{flag}={value}" for flag, value in right.items()))
    assert (status, len(lines)) == (2, 1), lines
    assert "/nowhere/at-all" in lines[0]


def test_a_certificate_has_to_be_one(right: dict[str, str], tmp_path: Path) -> None:
    """It is checked before the first request."""
    path = Path(right["--kubeconfig"])
    config = json.loads(path.read_text())
    config["clusters"][0]["cluster"]["certificate-authority"] = str(tmp_path / "file")
    path.write_text(json.dumps(config))
    status, lines = run(*(f"{flag}={value}" for flag, value in right.items()))
    assert (status, len(lines)) == (2, 1), lines
    assert lines[0].startswith(f"handler-service: error: argument --kubeconfig: {path}: ")


def test_every_flag_is_a_variable_too(right: dict[str, str]) -> None:
    """As DaemonSets often set them; the error names the variable."""
    variables = {f"HANDLER_SERVICE_{name[2:].upper().replace('-', '_')}": value for name, value in right.items()}
    status, lines = run(env=variables | {"HANDLER_SERVICE_NODE_NAME": "Node_1"})
    assert (status, len(lines)) == (2, 1)
    assert "argument --node-name (from HANDLER_SERVICE_NODE_NAME): 'Node_1'" in lines[0]


def test_a_service_is_polled_at_one_interval(right: dict[str, str]) -> None:
    """The flag is named, not the service that came last."""
    polls = ["--poll=usb-redirection=5s", "--poll=serial-console=5s", "--poll=usb-redirection=6s"]
    status, lines = run(*(f"{name}={value}" for name, value in right.items()), *polls)
    assert (status, len(lines)) == (2, 1), lines
    assert lines[0].startswith("handler-service: error: argument --poll: a service is given twice")


def test_a_port_that_is_taken_ends_the_program(right: dict[str, str]) -> None:
    """With exit status 1 and one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for flag in ("--probe-address", "--metrics-address", "--admin-address"):
            status, lines = run(*(f"{name}={value}" for name, value in right.items()), f"{flag}={address}")
            assert status == 1, lines
            assert f"{address} cannot be bound" in lines[-1]
            assert not any("Traceback" in line for line in lines)


def test_a_second_handler_on_one_admin_socket_is_refused(node: Node) -> None:
    """A DaemonSet's new pod may start before the old one has ended."""
    with node.handler() as first:
        first.wait_for_log("serving node")
        second = node.handler()
        second.start()
        assert second.wait() == 1
        assert "is served by another process" in second.log_text(whole=True)
        assert first.probe("/healthz") == 200


def test_the_probes_of_the_kubelet(node: Node) -> None:
    """`/healthz` is 200 while it runs, `/readyz` from the first list of VMIs until it stops."""
    with node.handler() as handler:
        wait_until(lambda: handler.probe("/readyz"), (200).__eq__, what="it is ready")
        assert handler.probe("/healthz") == 200
        assert handler.probe("/anything") == 404
        connection = http.client.HTTPConnection("127.0.0.1", handler.probe_port, timeout=30)
        connection.request("POST", "/healthz")
        assert connection.getresponse().status == 405
        connection.close()


def test_metrics_on_a_port_of_their_own(node: Node) -> None:
    """Its requests to the real API server are counted."""
    with node.handler() as handler:
        wait_until(lambda: handler.probe("/readyz"), (200).__eq__, what="it is ready")
        text = handler.metrics()
        assert 'vmi_service_status_watches_failing{resource="virtualmachineinstances"} 0.0' in text
        # It is ready when the lists were answered; a watch may still be opening.
        assert 'vmi_service_status_api_requests_total{code="200",verb="GET"}' in text
        assert handler.probe("/metrics") == 404


def test_it_may_open_as_many_files_as_it_is_allowed(node: Node) -> None:
    """A container may start with a limit of 1024, and 250 VMs need 750."""
    with node.handler() as handler:
        handler.wait_for_log("serving node")
        lines = Path(f"/proc/{handler.pid}/limits").read_text().splitlines()
        (soft, hard) = next(line.split()[3:5] for line in lines if line.startswith("Max open files"))
        assert soft == hard


def test_the_debugging_door_on_a_loopback_port(
    client: Client, namespace: str, node: Node, vmi: Vmi, peers: Peers
) -> None:
    """`kubectl port-forward` reaches the same service, with reflection and health."""
    address = f"127.0.0.1:{free_port()}"

    def call(method: str) -> str:
        return subprocess.run(
            [binary(), "-plaintext", "-max-time", "20", address, method], capture_output=True, text=True, check=True
        ).stdout

    with node.handler(f"--admin-address={address}"):
        peers.connect(vmi.socket, sessions=2).wait_published()
        (status,) = json.loads(call(f"{SERVICE}/ListServiceStatuses"))["statuses"]
        assert status["vmi"]["name"] == vmi.name
        assert status["services"][0]["sessions"] == 2
        assert json.loads(call("grpc.health.v1.Health/Check")) == {"status": "SERVING"}


def test_publishers_can_be_chosen(client: Client, namespace: str, new_node: Callable[[], Node], peers: Peers) -> None:
    """`companion` does not write the VMI, `vmi-status` creates no companion."""
    for publisher in ("companion", "vmi-status"):
        node = new_node()
        vmi = node.run(Vmi(client, namespace, publisher))
        with node.handler(publisher=publisher):
            peers.connect(vmi.socket, sessions=1).wait_published()
            shown = vmi.service_status() is not None, vmi.companion() is not None
            assert shown == ((False, True) if publisher == "companion" else (True, False))
