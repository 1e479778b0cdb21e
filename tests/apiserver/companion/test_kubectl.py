"""What kubectl prints of a companion, and how it waits for one."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.apiserver.companion.statuses import (
    CONSOLE_UNWATCHED,
    IDLE_NOW,
    SILENT,
    UNKNOWN,
    USB_WATCHED,
    WATCHED,
    WATCHING,
    write,
)
from tests.apiserver.identities import User, companion_of
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubectl import Kubectl, KubectlError
from tests.cluster.objects import Object, virtual_machine_instance
from tests.cluster.tools import tool

# Seconds; enough for everything below, and less than the test's own timeout.
DEADLINE = 90


def ago(**duration: float) -> str:
    return (datetime.now(UTC) - timedelta(**duration)).strftime("%Y-%m-%dT%H:%M:%SZ")


def table(kubectl: Kubectl, namespace: str, *options: str) -> list[list[str]]:
    """Return rows of cells; an empty cell is an empty string."""
    header, *rows = kubectl("get", "vmiss", "-n", namespace, *options).splitlines()
    columns = [header.index(name) for name in header.split()]
    ends = [*columns[1:], None]
    return [[line[a:b].strip() for a, b in zip(columns, ends, strict=True)] for line in (header, *rows)]


def test_the_columns_show_the_number_and_whether_it_is_observed(
    control_plane: ControlPlane, root: User, namespace: str
) -> None:
    """One row each for one viewer, no viewer, not observed, and not written yet."""
    states: dict[str, Object] = {
        "idle": {"since": ago(hours=9, minutes=30), "nodeName": "n1", "conditions": [WATCHING, IDLE_NOW]},
        "lost": {"vncSessions": 1, "nodeName": "n1", "conditions": [SILENT, UNKNOWN]},
        "used": {"vncSessions": 2, "since": ago(days=10, hours=5), "conditions": [WATCHING, WATCHED]},
    }
    for name in (*states, "unwritten"):
        vmi = control_plane.create(virtual_machine_instance(name, namespace))
        companion = control_plane.create(companion_of(vmi, "n1"))
        if name in states:
            root.write_status(companion, states[name]).taken()
    rows = table(control_plane.kubectl, namespace)
    assert [row[:-1] for row in rows] == [
        ["NAME", "SESSIONS", "OBSERVED", "IDLE", "SINCE"],
        ["idle", "", "True", "True", "9h"],
        ["lost", "1", "False", "Unknown", ""],
        ["unwritten", "", "", "", ""],
        ["used", "2", "True", "False", "10d"],
    ]
    assert rows[0][-1] == "AGE"


def test_the_wide_columns_show_the_reason_and_the_node(
    control_plane: ControlPlane, root: User, companion: Object
) -> None:
    """`-o wide` adds the reason, the other services and the node."""
    conditions = [SILENT, UNKNOWN, USB_WATCHED, CONSOLE_UNWATCHED]
    root.write_status(companion, {"nodeName": "n1", "usbRedirections": 2, "conditions": conditions}).taken()
    header, row = table(control_plane.kubectl, companion["metadata"]["namespace"], "--output=wide")
    services = ["USB", "USB-OBSERVED", "CONSOLE", "CONSOLE-OBSERVED", "SPICE", "SPICE-OBSERVED"]
    assert header == ["NAME", "SESSIONS", "OBSERVED", "IDLE", "SINCE", "REASON", *services, "NODE", "AGE"]
    shown = ["2", "True", "", "Unknown", "", ""]
    assert row[:-1] == ["vm", "", "False", "Unknown", "", "AgentSilent", *shown, "n1"]


@pytest.mark.parametrize("name", ["vmiss", "virtualmachineinstanceservicestatus", "all"])
def test_it_is_found_by(control_plane: ControlPlane, companion: Object, name: str) -> None:
    """By its short name, its singular, and with everything else of a namespace."""
    found = control_plane.kubectl("get", name, "-n", companion["metadata"]["namespace"], "--output=name")
    assert "virtualmachineinstanceservicestatus.servicestatus.kubevirt.io/vm" in found.splitlines()


def test_explain_says_what_each_field_means(control_plane: ControlPlane) -> None:
    """A reader needs no other documentation."""
    explained = " ".join(control_plane.kubectl("explain", "vmiss.status").split())
    assert "What the handler on the VMI's node knows." in explained
    assert "vncSessions <integer> How many VNC sessions are established with the VMI" in explained
    assert "conditions <[]Object> Observed is True while the number of VNC sessions is known." in explained


IDLE = ("wait", "--for=condition=Idle", "vmiss/vm")


def test_waiting_for_idle_returns_at_once_when_nobody_is_connected(
    control_plane: ControlPlane, root: User, companion: Object
) -> None:
    """`kubectl wait` succeeds at once."""
    root.write_status(companion, {"conditions": [WATCHING, IDLE_NOW]}).taken()
    waited = control_plane.kubectl(*IDLE, "-n", companion["metadata"]["namespace"], "--timeout=30s")
    assert waited.endswith("/vm condition met\n")


@pytest.mark.parametrize(
    "status",
    [{"vncSessions": 2, "conditions": [WATCHING, WATCHED]}, {"conditions": [SILENT, UNKNOWN]}, {}],
    ids=["a viewer is connected", "not observed", "never written"],
)
def test_waiting_for_idle_times_out_while(
    control_plane: ControlPlane, root: User, companion: Object, status: Object
) -> None:
    """Unknown is not idle."""
    root.write_status(companion, status).taken()
    with pytest.raises(KubectlError, match="timed out waiting for the condition"):
        control_plane.kubectl(*IDLE, "-n", companion["metadata"]["namespace"], "--timeout=1s")


def test_waiting_for_idle_ends_when_the_last_viewer_leaves(
    control_plane: ControlPlane, root: User, companion: Object
) -> None:
    """Not before: the wait continues when one of two leaves."""
    write(root, companion, {"vncSessions": 2, "conditions": [WATCHING, WATCHED]}).taken()
    with waiting(control_plane, companion) as proxy:
        write(root, companion, {"vncSessions": 1}).taken()
        with pytest.raises(subprocess.TimeoutExpired):
            proxy.wait(0.5)
        write(root, companion, {"vncSessions": None, "conditions": [WATCHING, IDLE_NOW]}).taken()
        assert proxy.wait(DEADLINE) == 0


@contextmanager
def waiting(plane: ControlPlane, companion: Object) -> Iterator["subprocess.Popen[bytes]"]:
    where = ("-n", companion["metadata"]["namespace"], f"--timeout={DEADLINE}s")
    command = [tool("kubectl"), "--kubeconfig", plane.kubeconfig, *IDLE, *where]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as proxy:
        try:
            yield proxy
        finally:
            proxy.kill()
