"""The control plane under the other tests is a real one, and leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hack.builds import gotools
from testbed import procfs
from testbed.waiting import wait_until
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubectl import KubectlError
from tests.cluster.objects import node, owned_by, pod, virtual_machine_instance

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap"}


def config_map(name: str, namespace: str) -> dict[str, object]:
    return {**CONFIG_MAP, "metadata": {"name": name, "namespace": namespace}}


def test_it_is_the_version_whose_behaviour_is_documented(control_plane: ControlPlane) -> None:
    """The server and kubectl say that they are the release that go.mod or the variable KUBERNETES names."""
    version = json.loads(control_plane.kubectl("version", "--output=json"))
    said = {version[program]["gitVersion"] for program in ("serverVersion", "clientVersion")}
    assert said == {gotools.kubernetes_version()}


def test_the_stock_schema_prunes_the_service_status(
    control_plane: ControlPlane, namespace: str, stock_schema: None
) -> None:
    """A VMI on stock KubeVirt loses `serviceStatus` and keeps the fields of its schema."""
    status = {"phase": "Running", "nodeName": "n1", "serviceStatus": {"vncSessions": 1}}
    vmi = virtual_machine_instance("vm", namespace, status=status)
    created = json.loads(
        control_plane.kubectl("create", "--validate=ignore", "--output=json", "-f", "-", input=json.dumps(vmi))
    )
    assert created["status"] == {"phase": "Running", "nodeName": "n1"}


def test_the_schema_with_the_service_status_keeps_it(
    control_plane: ControlPlane, namespace: str, service_status_schema: None
) -> None:
    """`kubectl describe` shows the field as VEP #119 promises it."""
    vmi = virtual_machine_instance("vm", namespace, status={"serviceStatus": {"vncSessions": 1}})
    control_plane.create(vmi)
    described = control_plane.kubectl("describe", "vmi", "vm", "-n", namespace)
    assert "  Service Status:\n    Vnc Sessions:  1\n" in described


def test_the_schema_with_the_service_status_refuses_a_negative_count(
    control_plane: ControlPlane, namespace: str, service_status_schema: None
) -> None:
    """`vncSessions` has the minimum 0."""
    vmi = virtual_machine_instance("vm", namespace, status={"serviceStatus": {"vncSessions": -1}})
    with pytest.raises(KubectlError, match=r"vncSessions.*should be greater than or equal to 0"):
        control_plane.create(vmi)


def test_a_vmi_has_no_status_subresource(control_plane: ControlPlane, namespace: str) -> None:
    """As with KubeVirt: a write to `/status` answers 404."""
    control_plane.create(virtual_machine_instance("vm", namespace))
    patch = ("patch", "vmi", "vm", "-n", namespace, "--subresource=status", "--type=merge")
    with pytest.raises(KubectlError, match="NotFound"):
        control_plane.kubectl(*patch, '--patch={"status": {"phase": "Running"}}')


def test_the_columns_are_those_of_kubevirt(control_plane: ControlPlane, namespace: str) -> None:
    """`kubectl get vmi` prints the columns of KubeVirt."""
    status = {"phase": "Running", "nodeName": "n1", "interfaces": [{"ipAddress": "10.0.0.9"}]}
    control_plane.create(virtual_machine_instance("vm", namespace, status=status))
    header, row = control_plane.kubectl("get", "vmis", "-n", namespace).splitlines()
    assert header.split() == ["NAME", "AGE", "PHASE", "IP", "NODENAME", "READY"]
    assert [row.split()[i] for i in (0, 2, 3, 4)] == ["vm", "Running", "10.0.0.9", "n1"]


def test_what_a_vmi_owns_goes_with_it(control_plane: ControlPlane, namespace: str) -> None:
    """The garbage collector removes an object after the VMI that its ownerReference names."""
    vmi = control_plane.create(virtual_machine_instance("vm", namespace))
    control_plane.create(owned_by(vmi, config_map("owned", namespace)))
    control_plane.create(config_map("free", namespace))
    control_plane.kubectl("delete", "vmi", "vm", "-n", namespace)

    def names() -> set[str]:
        return set(control_plane.kubectl("get", "configmap", "-n", namespace, "--output=name").split())

    left = {"configmap/free", "configmap/kube-root-ca.crt"}
    wait_until(names, lambda seen: seen == left, what="the owned object is gone", timeout=60, interval=0.2)


def test_a_token_bound_to_a_pod_names_its_node(control_plane: ControlPlane, namespace: str) -> None:
    """The admission policies compare the token's extra field with the VMI's node."""
    control_plane.create(node(f"node-of-{namespace}"))
    control_plane.create(pod("handler", namespace, node_name=f"node-of-{namespace}"))
    user = control_plane.kubectl_with(control_plane.token(namespace, "default", pod="handler"))
    info = json.loads(user("auth", "whoami", "--output=json"))["status"]["userInfo"]
    assert info["username"] == f"system:serviceaccount:{namespace}:default"
    assert info["extra"]["authentication.kubernetes.io/node-name"] == [f"node-of-{namespace}"]
    assert info["extra"]["authentication.kubernetes.io/pod-name"] == ["handler"]


def test_a_service_account_may_do_nothing_by_itself(control_plane: ControlPlane, namespace: str) -> None:
    """RBAC is on."""
    user = control_plane.kubectl_with(control_plane.token(namespace, "default"))
    with pytest.raises(KubectlError, match="Forbidden"):
        user("get", "vmi", "-n", namespace)


def test_policies_of_both_kinds_are_served(control_plane: ControlPlane) -> None:
    """Validating and mutating admission policies are served as v1, without a flag."""
    served = control_plane.kubectl("api-resources", "--api-group=admissionregistration.k8s.io", "--output=name")
    policies = {name.partition(".")[0] for name in served.split()}
    assert {"validatingadmissionpolicies", "mutatingadmissionpolicies"} <= policies


def test_a_killed_api_server_comes_back_with_its_data(control_plane: ControlPlane, namespace: str) -> None:
    """Clients find it at the same address; until then their connections are refused."""
    control_plane.create(config_map("kept", namespace))
    control_plane.apiserver.kill()
    with pytest.raises(KubectlError, match="refused"):
        control_plane.kubectl("get", "--raw", "/readyz")
    control_plane.apiserver.start()
    assert control_plane.kubectl("get", "configmap", "kept", "-n", namespace, "--output=name") == "configmap/kept\n"


def test_a_killed_etcd_comes_back_with_its_data(control_plane: ControlPlane, namespace: str) -> None:
    """Not even SIGKILL loses a write that was answered."""
    control_plane.create(config_map("kept", namespace))
    control_plane.etcd.kill()
    control_plane.etcd.start()

    def get() -> str:
        return control_plane.kubectl("get", "configmap", "kept", "-n", namespace, "--output=name", check=False)

    wait_until(get, lambda seen: seen == "configmap/kept\n", what="the API server has found etcd again", interval=0.2)


def test_nothing_is_left_after_the_end() -> None:
    """No process, no socket, no file remains."""
    with ControlPlane() as plane:
        pids = [plane.etcd.pid, plane.apiserver.pid, plane.controller_manager.pid]
        port = int(plane.url.rpartition(":")[2])
    assert [pid for pid in pids if procfs.state(pid)] == []
    assert not plane.folder.exists()
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", port))


STARTER = """
import sys, time
from pathlib import Path
from tests.cluster.control_plane import ControlPlane
with ControlPlane(Path(sys.argv[1])) as plane:
    print(plane.etcd.pid, plane.apiserver.pid, plane.controller_manager.pid, flush=True)
    time.sleep(600)
"""


def test_no_process_outlives_a_killed_test(tmp_path: Path) -> None:
    """The process that started it may be killed: its child processes end with it."""
    with subprocess.Popen([sys.executable, "-c", STARTER, tmp_path], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pids = [int(pid) for pid in starter.stdout.readline().split()]
        os.kill(starter.pid, signal.SIGKILL)
    assert len(pids) == 3

    def left() -> list[int]:
        return [pid for pid in pids if procfs.state(pid)]

    wait_until(left, lambda seen: seen == [], what="all three have ended with their parent")
