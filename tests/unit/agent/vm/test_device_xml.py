"""Which devices of a domain QEMU is polled for."""

from xml.sax.saxutils import quoteattr

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


def with_arguments(*arguments: str) -> str:
    space = "http://libvirt.org/schemas/domain/qemu/1.0"
    values = "".join(f"<arg value={quoteattr(argument)}/>" for argument in arguments)
    return KUBEVIRT.replace("</domain>", f"<commandline xmlns='{space}'>{values}</commandline></domain>")


@pytest.mark.parametrize(
    "arguments",
    [
        ("-serial", "unix:/run/x,server=on,wait=off"),
        ("--serial", "tcp:127.0.0.1:4444,server=on"),
        ("-chardev", "socket,id=x,path=/run/x,server=on", "-device", "isa-serial,chardev=x"),
        ("-device", "pci-serial-4x,chardev1=x"),
        ("-device", '{"driver":"isa-serial","chardev":"x"}'),
        ("-device", "id=own,driver=virtconsole,chardev=x"),
        ("-device", "spapr-vty,chardev=x"),
    ],
)
def test_a_console_of_qemus_arguments_cannot_be_counted(arguments: tuple[str, ...]) -> None:
    found = parse(with_arguments(*arguments))
    assert (found.consoles, found.console_problem) == ((), "QEMU's own arguments add a serial console")
    assert len(found.slots) == 4


@pytest.mark.parametrize("device", ["usb-redir,chardev=x", '{"driver":"usb-redir","chardev":"x"}'])
def test_a_slot_of_qemus_arguments_cannot_be_counted(device: str) -> None:
    found = parse(with_arguments("-device", device))
    assert (found.slots, found.usb_problem) == ((), "QEMU's own arguments add a slot for a USB device")
    assert found.consoles == ("serial0",)


def test_other_arguments_of_qemu_add_neither() -> None:
    """As KubeVirt's for the firmware's log, and ports that are not consoles."""
    others = ("-chardev", "file,id=firmwarelog,path=/x", "-device", "isa-debugcon,iobase=0x402,chardev=firmwarelog")
    ports = ("-device", "virtio-serial-pci", "-device", "virtserialport,chardev=x", "-serial", "none", "-device", "{")
    assert parse(with_arguments(*others, *ports)) == parse(KUBEVIRT)


def test_what_is_not_xml_is_an_error() -> None:
    with pytest.raises(DomainXMLError):
        parse("<domain>")
