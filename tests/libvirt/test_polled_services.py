"""USB redirections and serial consoles, which no event reports: the agent polls QEMU if the handler asks for it.

The reference for each number is QEMU's own answer, on a connection of the test (`testbed/truth.py`).
"""

import time
from collections.abc import Iterator

import pytest

from testbed.addresses import UnixAddress
from testbed.clients import Client, ConsoleClient
from testbed.libvirtd import PrivateLibvirt
from testbed.pool import ViewerPool
from testbed.promises import SHOWN_WITHIN
from testbed.truth import has_client, is_attached, is_tainted
from testbed.usbredir import UsbClient
from testbed.vm import VirtualMachine, VirtualMachines
from testbed.waiting import wait_until
from tests.libvirt.pair import CONSOLE, USB, Pair

#: The shortest interval that there is, so that the tests wait the least.
POLL = ("--poll=usb-redirection=1s", "--poll=serial-console=1s")
#: Seconds in which the agent asks again, three times, before it reports a fall.
_CONFIRMATION = 0.2


@pytest.fixture
def running(vms: VirtualMachines) -> VirtualMachine:
    return vms.with_ports().start(paused=False)


@pytest.fixture
def pair(running: VirtualMachine) -> Iterator[Pair]:
    with Pair(running, handler=POLL) as both:
        both.start()
        wait_observed(both)
        yield both


def wait_observed(pair: Pair, *services: str) -> None:
    for name in services or ("USB_REDIRECTION", "SERIAL_CONSOLE"):
        pair.wait_service(name, lambda seen: seen.get("observation", {}).get("observed"), f"{name} is observed")


def wait_reason(pair: Pair, service: str, expected: str) -> None:
    def is_it(seen: dict[str, dict[str, str]]) -> bool:
        return seen.get("observation", {}).get("reason") == f"OBSERVATION_REASON_{expected}"

    pair.wait_service(service, is_it, f"the agent reports {expected} for {service}")


def wait_pending(pair: Pair, expected: int) -> None:
    pair.wait_service("USB_REDIRECTION", lambda seen: seen.get("pending", 0) == expected, f"{expected} are pending")


def polls(pair: Pair) -> int:
    return int(pair.agent_status().get("counters", {}).get("polls", 0))


def wait_polls(pair: Pair, more: int = 2) -> None:
    """Wait until the agent has polled again, so that what it reports is newer than this call."""
    before = polls(pair)
    wait_until(lambda: polls(pair), lambda count: count >= before + more, what="the agent polls", interval=0.1)


# --- USB redirection --------------------------------------------------------------------------------------------------


def test_usb_redirections_are_counted_up_to_all_four_and_down(pair: Pair) -> None:
    """Absent at zero, as with viewers."""
    assert pair.shows(USB) is None
    clients = []
    for number in range(1, 5):
        clients.append(UsbClient.redirect(pair.machine.slot(number - 1)))
        pair.wait_shows(USB, number, timeout=SHOWN_WITHIN)
    assert pair.service("USB_REDIRECTION")["accuracy"] == "ACCURACY_EXACT"
    while clients:
        clients.pop(0).close()
        pair.wait_shows(USB, len(clients) or None, timeout=SHOWN_WITHIN)
    assert "usbRedirections" not in pair.document.read_text()


def test_a_client_that_attaches_no_device_is_pending(pair: Pair) -> None:
    with pair.sample(USB) as sampler, Client.connect(pair.machine.slot(0)) as nonsense:
        nonsense.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10)
        wait_pending(pair, 1)
        wait_polls(pair)
        assert has_client(pair.machine, "redir0")
    wait_pending(pair, 0)
    assert sampler.values == [None], str(sampler)


def test_a_device_that_its_owner_unplugs_is_no_session_and_its_client_is_pending(pair: Pair) -> None:
    with UsbClient.redirect(pair.machine.slot(1)) as client:
        pair.wait_shows(USB, 1, timeout=SHOWN_WITHIN)
        client.unplug()
        pair.wait_shows(USB, None, timeout=SHOWN_WITHIN)
        wait_pending(pair, 1)
        client.plug()
        pair.wait_shows(USB, 1, timeout=SHOWN_WITHIN)
        wait_pending(pair, 0)


def test_a_paused_vm_attaches_nothing_and_keeps_what_is_attached(pair: Pair) -> None:
    with UsbClient.redirect(pair.machine.slot(0)), pair.sample(USB) as sampler:
        pair.wait_shows(USB, 1, timeout=SHOWN_WITHIN)
        pair.machine.pause()
        with UsbClient.redirect(pair.machine.slot(1)):
            wait_pending(pair, 1)
            wait_polls(pair)
            assert not is_attached(pair.machine, "redir1")
            assert pair.shows(USB) == 1
            pair.machine.resume()
            pair.wait_shows(USB, 2, timeout=SHOWN_WITHIN)
            pair.machine.pause()
            wait_polls(pair)
            assert pair.shows(USB) == 2
    assert sampler.values in ([None, 1, 2], [1, 2]), str(sampler)


def test_a_device_in_a_slot_that_was_added_is_counted_until_the_slot_is_removed(pair: Pair) -> None:
    path = pair.machine.ports.usb[0].with_name("virt-usbredir-9")
    pair.machine.plug_slot(path)
    wait_until(path.exists, what="the slot is there")
    with UsbClient.redirect(type(pair.machine.slot(0))(path)) as client, UsbClient.redirect(pair.machine.slot(2)):
        pair.wait_shows(USB, 2, timeout=SHOWN_WITHIN)
        pair.machine.unplug_slot(path)
        client.wait_closed()
        pair.wait_shows(USB, 1, timeout=SHOWN_WITHIN)
        wait_observed(pair)


# --- the console ------------------------------------------------------------------------------------------------------


def test_a_console_has_one_session_however_many_wait(pair: Pair) -> None:
    """QEMU serves the second client when the first has left."""
    with ConsoleClient.connect(pair.machine.console) as first:
        pair.wait_shows(CONSOLE, 1, timeout=SHOWN_WITHIN)
        with ConsoleClient.connect(pair.machine.console) as second, pair.sample(CONSOLE) as sampler:
            wait_polls(pair)
            first.close()
            wait_polls(pair)
            assert second.connected
        assert sampler.values == [1], str(sampler)
    pair.wait_shows(CONSOLE, None, timeout=SHOWN_WITHIN)


def test_a_takeover_of_the_console_does_not_show(pair: Pair) -> None:
    """As KubeVirt does it: it closes the old connection, and dials for the new one.

    A poll may fall into the gap. The agent asks again before it reports a fall, so only a gap that lasts longer than
    its questions may show, or four short ones, one at each question.
    """
    client = ConsoleClient.connect(pair.machine.console)
    pair.wait_shows(CONSOLE, 1, timeout=SHOWN_WITHIN)
    longest = 0.0
    with pair.sample(CONSOLE) as sampler:
        before = polls(pair)
        while polls(pair) < before + 5:
            begin = time.monotonic()
            client.close()
            client = ConsoleClient.connect(pair.machine.console)
            wait_until(lambda: has_client(pair.machine, "serial0"), what="QEMU serves the new client")
            longest = max(longest, time.monotonic() - begin)
            time.sleep(0.1)  # the questions may fall into two gaps, or three
    permitted = {1, None} if longest >= _CONFIRMATION else {1}
    assert set(sampler.values) <= permitted, f"{sampler}; the longest gap was {longest:.3f} s"
    client.close()
    pair.wait_shows(CONSOLE, None, timeout=SHOWN_WITHIN)


def test_services_do_not_disturb_each_other(pair: Pair, viewers: ViewerPool) -> None:
    """A viewer, a console and a device at a time; each leaves, and only its own number changes."""
    viewer = viewers.establish(pair.machine.address)
    with ConsoleClient.connect(pair.machine.console) as console, UsbClient.redirect(pair.machine.slot(3)) as device:
        for field in (USB, CONSOLE):
            pair.wait_shows(field, 1, timeout=SHOWN_WITHIN)
        pair.wait_sessions(1)
        console.close()
        pair.wait_shows(CONSOLE, None, timeout=SHOWN_WITHIN)
        assert (pair.sessions, pair.shows(USB)) == (1, 1)
        viewer.close()
        pair.wait_sessions(None)
        assert pair.shows(USB) == 1
        device.close()
        pair.wait_shows(USB, None, timeout=SHOWN_WITHIN)


# --- what is not polled -----------------------------------------------------------------------------------------------


@pytest.fixture
def idle(vms: VirtualMachines) -> VirtualMachine:
    """Not started, so that the agent sees its start and needs to ask nothing about viewers."""
    return vms.with_ports()


def wait_quiet(pair: Pair) -> None:
    """Let so much time pass that an agent which polls would have done so."""
    time.sleep(3.0)  # three of the shortest intervals
    assert polls(pair) == 0
    assert not is_tainted(pair.machine)


def test_a_vm_is_neither_polled_nor_tainted_if_no_service_is_wanted(idle: VirtualMachine) -> None:
    """The default. That nothing is known is reported, so that absent is not taken for zero."""
    with Pair(idle, named=False) as pair:
        pair.start()
        idle.start(paused=False)
        with ConsoleClient.connect(idle.console), UsbClient.redirect(idle.slot(0)):
            wait_reason(pair, "USB_REDIRECTION", "NOT_WATCHED")
            wait_reason(pair, "SERIAL_CONSOLE", "NOT_WATCHED")
            wait_quiet(pair)
            assert (pair.shows(USB), pair.shows(CONSOLE)) == (None, None)


def test_query_never_forbids_polling(idle: VirtualMachine) -> None:
    """Whatever the handler asks for."""
    with Pair(idle, named=False, agent=["--query=never"], handler=POLL) as pair:
        pair.start()
        idle.start(paused=False)
        with ConsoleClient.connect(idle.console):
            wait_reason(pair, "USB_REDIRECTION", "NOT_WATCHED")
            wait_reason(pair, "SERIAL_CONSOLE", "NOT_WATCHED")
            wait_quiet(pair)
            assert pair.shows(CONSOLE) is None


def test_a_vm_without_slots_is_not_polled_for_them(vms: VirtualMachines) -> None:
    """Most VMs have no `clientPassthrough`: there can be no redirection, which is known without a question."""
    machine = vms.with_ports(usb=False)
    with Pair(machine, named=False, handler=POLL[:1]) as pair:
        pair.start()
        machine.start(paused=False)
        wait_observed(pair, "USB_REDIRECTION")
        wait_quiet(pair)


def test_only_the_service_that_is_wanted_is_polled(idle: VirtualMachine) -> None:
    with Pair(idle, named=False, handler=POLL[1:]) as pair:
        pair.start()
        idle.start(paused=False)
        with ConsoleClient.connect(idle.console), UsbClient.redirect(idle.slot(0)):
            pair.wait_shows(CONSOLE, 1, timeout=SHOWN_WITHIN)
            wait_reason(pair, "USB_REDIRECTION", "NOT_WATCHED")
            wait_polls(pair)
            assert pair.shows(USB) is None
        assert is_tainted(idle)


# --- what no poll can see -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["-serial", "-chardev"])
def test_a_console_that_only_qemus_arguments_name_is_not_taken_for_none(
    vms: VirtualMachines, libvirtd: PrivateLibvirt, option: str
) -> None:
    path = libvirtd.directory_for("consoles") / option
    listens = f"path={path},server=on,wait=off"
    device = ["-chardev", f"socket,id=own,{listens}", "-device", "isa-serial,chardev=own"]
    arguments = device if option == "-chardev" else ["-serial", f"unix:{listens.removeprefix('path=')}"]
    machine = vms.with_graphics(None, arguments=arguments).start()
    with Pair(machine, handler=POLL) as pair, ConsoleClient.connect(UnixAddress(path)):
        pair.start()
        wait_reason(pair, "SERIAL_CONSOLE", "NOT_WATCHED")
        wait_reason(pair, "USB_REDIRECTION", "WATCHING")
        assert pair.service("SERIAL_CONSOLE")["observation"]["message"] == "QEMU's own arguments add a serial console"
        machine.destroy()
        wait_observed(pair)
