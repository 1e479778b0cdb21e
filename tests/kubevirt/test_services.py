"""USB redirections and consoles of a real KubeVirt, by virtctl: the companion has their numbers if they are polled."""

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from testbed.clients import Client
from testbed.sampler import Sampler
from testbed.waiting import wait_until
from tests.cluster.cluster import Cluster
from tests.cluster.objects import Object
from tests.kubevirt.deployment import Deployment
from tests.kubevirt.machines import Machine, Machines
from tests.kubevirt.websocket import open_websocket
from tests.node.site import Site

USB, CONSOLE = "usbRedirections", "consoleSessions"
OBSERVED = {USB: "UsbRedirectionsObserved", CONSOLE: "ConsoleSessionsObserved"}
#: The shortest interval.
POLL = ("usb-redirection=1s", "serial-console=1s")
# A VM with slots for USB devices.
PASSTHROUGH: Object = {"clientPassthrough": {}}
# An interval, KubeVirt's own time, and the delays of a report and of a write.
SOON = 30.0
# The agent asks again within this time before it reports a fall. KubeVirt's takeover takes less than 1 ms of it.
CONFIRMATION = 0.2


@pytest.fixture(scope="module")
def polled(site: Site, kubevirt: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A VM with slots, on handlers that have both services polled."""
    kubevirt.install()
    name = site.cluster.create_namespace()
    with kubevirt.polling(*POLL):
        machines = Machines(site, kubevirt, name, tmp_path_factory.mktemp("services"))
        yield machines.start(node=None, devices=PASSTHROUGH)
    site.cluster.delete_namespace(name)


@pytest.fixture
def machine(polled: Machine) -> Machine:
    """The shared VM, after the clients of the test before have left."""
    for field in (USB, CONSOLE):
        wait_shows(polled, field, None)
    return polled


def shows(machine: Machine, field: str) -> tuple[int | None, str]:
    """Return a number of the companion, and the status of its condition."""
    status: dict[str, Any] = (machine.vmi.companion() or {}).get("status", {})
    conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
    return status.get(field), conditions.get(OBSERVED[field], "")


def wait_shows(machine: Machine, field: str, number: int | None, observed: str = "True") -> None:
    wanted = (number, observed)
    what = f"{field} is {wanted}"
    wait_until(lambda: shows(machine, field), lambda seen: seen == wanted, what=what, timeout=SOON, interval=0.05)


def is_attached(machine: Machine, slot: int) -> bool:
    """Ask QEMU itself."""
    path = f"/machine/peripheral/redir{slot}"
    return bool(machine.monitor("qom-get", path=path, property="attached"))


def wide(cluster: Cluster, machine: Machine) -> list[str]:
    """Return USB and CONSOLE of `kubectl get vmiss -o wide`, each with its condition."""
    vmi = machine.vmi
    header, line = cluster.kubectl("get", "vmiss", vmi.name, f"--namespace={vmi.namespace}", "-o", "wide").splitlines()
    starts = [header.index(name) for name in ("USB ", "USB-OBSERVED", "CONSOLE ", "CONSOLE-OBSERVED", "SPICE ")]
    return [line[start:end].strip() for start, end in itertools.pairwise(starts)]


def test_virtctl_usbredir_is_counted_device_by_device(cluster: Cluster, machine: Machine) -> None:
    """Two devices, as `kubectl` shows them, and down again when each virtctl ends."""
    with ExitStack() as clients:
        for number in (1, 2):
            clients.enter_context(machine.redirect())
            wait_shows(machine, USB, number)
            assert is_attached(machine, number - 1)
        assert wide(cluster, machine) == ["2", "True", "", "True"]
    wait_shows(machine, USB, None)


def test_a_client_of_the_subresource_that_brings_no_device_is_not_counted(cluster: Cluster, machine: Machine) -> None:
    """It occupies a slot of KubeVirt's, and no device is in the guest."""
    with Sampler(lambda: shows(machine, USB)[0]) as samples:
        with Client(open_websocket(cluster.kubeconfig, machine.vmi, "usbredir")) as nonsense:
            nonsense.send(b"GET / HTTP/1.1\r\n\r\n")
            with machine.redirect():
                wait_shows(machine, USB, 1)
                assert is_attached(machine, 1)
        wait_shows(machine, USB, None)
    assert samples.values == [None, 1, None], str(samples)


def test_virtctl_console_is_counted_and_a_takeover_does_not_show(machine: Machine) -> None:
    """KubeVirt disconnects the first console when the second one connects."""
    with machine.console() as first:
        first.wait_connected()
        wait_shows(machine, CONSOLE, 1)
        with Sampler(lambda: shows(machine, CONSOLE)[0]) as samples, machine.console() as second:
            second.wait_connected()
            first.wait_ended()
            assert second.running
            time.sleep(3.0)  # three polls: one would have seen a console without a client
        lateness = samples.longest_gap
        permitted = {1, None} if lateness >= CONFIRMATION else {1}
        assert set(samples.values) <= permitted, str(samples)
    wait_shows(machine, CONSOLE, None)


def test_a_redirected_device_does_not_follow_a_migration(machine: Machine) -> None:
    """KubeVirt migrates the VM; the connection to the old slot ends, and with it the redirection."""
    with machine.redirect() as virtctl:
        wait_shows(machine, USB, 1)
        machine.migrate()
        wait_until(lambda: virtctl.running, lambda running: not running, what="virtctl ends", timeout=60)
        wait_shows(machine, USB, None)
    with machine.redirect():
        wait_shows(machine, USB, 1)
