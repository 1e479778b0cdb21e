"""Which devices of a domain QEMU is polled for."""

import pytest

from launcher_agent.errors import DomainXMLError
from launcher_agent.vm.device_xml import Polled, Slot, parse
from tests.unit.agent.vm.qemu_ports import CONSOLE, KUBEVIRT, domain


def test_kubevirts_domain_has_four_slots_and_one_console() -> None:
    """<console> repeats <serial>: one device of QEMU."""
    assert parse(KUBEVIRT) == Polled(
        slots=tuple(Slot(f"redir{number}", stated=True) for number in range(4)), consoles=("serial0",)
    )


def test_a_domain_without_them_has_nothing_to_poll() -> None:
    """The guest agent's channel, which always has a client, is none of them."""
    channel = "<channel type='unix'><source mode='bind' path='/run/x'/><alias name='channel0'/></channel>"
    assert parse(domain("<graphics type='vnc'/>", channel)) == Polled()


def test_a_slot_of_spice_states_its_device_only() -> None:
    found = parse(domain("<redirdev bus='usb' type='spicevmc'><alias name='redir0'/></redirdev>"))
    assert found.slots == (Slot("redir0", stated=False),)


def test_a_device_without_an_alias_is_not_of_a_running_domain() -> None:
    assert parse(domain("<redirdev bus='usb' type='unix'><source mode='bind' path='/x'/></redirdev>")) == Polled()


@pytest.mark.parametrize("kind", ["pty", "stdio", "dev", "spicevmc", "udp"])
def test_a_console_whose_clients_qemu_does_not_report_is_named(kind: str) -> None:
    found = parse(domain(f"<serial type='{kind}'><alias name='serial0'/></serial>"))
    assert (found.consoles, found.console_problem) == (
        (),
        f"QEMU does not report the clients of a serial console of type {kind}",
    )


def test_one_console_that_is_not_reported_spoils_the_number_of_all() -> None:
    found = parse(domain(CONSOLE, "<console type='pty'><alias name='console1'/></console>"))
    assert (found.consoles, bool(found.console_problem)) == ((), True)


def test_qemu_that_dials_itself_has_no_client() -> None:
    """It is connected to a server, for example a log collector."""
    found = parse(domain("<serial type='tcp'><source mode='connect' host='h'/><alias name='serial0'/></serial>"))
    assert found.console_problem == "QEMU does not report the clients of a serial console of type tcp"


@pytest.mark.parametrize("kind", ["file", "null"])
def test_nobody_can_be_at_a_console_that_goes_into_a_file(kind: str) -> None:
    assert parse(domain(f"<serial type='{kind}'><alias name='serial0'/></serial>")) == Polled()


def test_a_tcp_console_is_reported() -> None:
    found = parse(domain("<serial type='tcp'><source mode='bind' host='::'/><alias name='serial0'/></serial>"))
    assert found == Polled(consoles=("serial0",))


def test_what_is_not_xml_is_an_error() -> None:
    with pytest.raises(DomainXMLError):
        parse("<domain>")
