"""Connections to a VM other than virtctl's viewer: a browser's is counted, other kinds are not viewers."""

import time
from pathlib import Path

from testbed.rfb import Viewer
from testbed.sampler import Sampler
from tests.apiserver.vmis import seen
from tests.cluster.cluster import Cluster
from tests.kubevirt.machines import Machine
from tests.kubevirt.websocket import open_websocket

# Longer than every delay of the publisher, so that a wrong value would be written and seen.
PAUSE = 1.5


def test_a_browsers_websocket_is_counted(cluster: Cluster, idle_machine: Machine) -> None:
    """Absent, 1, a takeover by another one that does not show, absent."""
    first = Viewer(open_websocket(cluster.kubeconfig, idle_machine.vmi, "vnc")).handshake()
    idle_machine.vmi.wait_told(seen(1))
    with Sampler(idle_machine.vmi.told) as samples:
        second = Viewer(open_websocket(cluster.kubeconfig, idle_machine.vmi, "vnc")).handshake()
        first.wait_closed()
        time.sleep(PAUSE)
    assert samples.values == [seen(1)], str(samples)
    first.close()
    second.close()
    idle_machine.vmi.wait_told(seen(0))


def test_a_screenshot_and_a_console_are_nobody(cluster: Cluster, idle_machine: Machine, tmp_path: Path) -> None:
    """Neither of them is a VNC session."""
    idle_machine.vmi.wait_told(seen(0))
    picture = tmp_path / "screen.png"
    with Sampler(idle_machine.vmi.told) as samples:
        idle_machine.do("vnc", "screenshot", f"--file={picture}")
        console = open_websocket(cluster.kubeconfig, idle_machine.vmi, "console")
        time.sleep(PAUSE)
        console.close()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert samples.values == [seen(0)], str(samples)
