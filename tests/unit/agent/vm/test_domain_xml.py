"""Which graphics servers a domain has."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher_agent.errors import DomainXMLError
from launcher_agent.events import SocketAddress, Transport
from launcher_agent.vm.domain_xml import Graphics, Spice, parse


def domain(*graphics: str) -> str:
    return f"<domain><devices>{''.join(graphics)}</devices></domain>"


def tcp(port: int) -> SocketAddress:
    return SocketAddress(Transport.TCP, "127.0.0.1", port)


PATH = SocketAddress(Transport.UNIX, "/run/vnc")
NO_PATH = SocketAddress(Transport.UNIX)
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
VNC = "<graphics type='vnc' port='5900'/>"
SPICE = "<graphics type='spice' port='5901' tlsPort='5902'/>"


def test_a_domain_with_vnc_alone_has_only_viewers() -> None:
    graphics = parse(domain("<graphics type='vnc' socket='/run/vnc'><listen type='socket'/></graphics>"))
    assert graphics == Graphics(reachable_early=False, spice=Spice())
    assert graphics.is_vnc(PATH)
    assert graphics.is_vnc(tcp(1))


@pytest.mark.parametrize("xml", [domain(), domain("<graphics type='egl-headless'/>")])
def test_a_description_without_any_server_is_no_proof_that_there_is_none(xml: str) -> None:
    assert parse(xml).is_vnc(PATH)
    assert parse(xml).is_vnc(tcp(5901))
    assert not parse(xml).reachable_early


def test_of_a_description_with_spice_alone_only_spice_is_ignored() -> None:
    graphics = parse(domain(SPICE))
    assert [port for port in (5900, 5901, 5902) if graphics.is_vnc(tcp(port))] == [5900]
    assert graphics.is_vnc(PATH)
    assert not graphics.is_vnc(NO_PATH)


@pytest.mark.parametrize(
    ("listen", "early"),
    [
        ("<graphics type='vnc' socket='/run/vnc'><listen type='socket' socket='/run/vnc'/></graphics>", False),
        ("<graphics type='vnc' socket='/run/vnc'/>", False),
        ("<graphics type='vnc' port='5900'><listen type='address' address='127.0.0.1'/></graphics>", True),
        ("<graphics type='vnc' port='5900'><listen type='network' network='default'/></graphics>", True),
        ("<graphics type='vnc' port='5900'/>", True),
    ],
)
def test_only_a_unix_socket_cannot_be_reached_before_libvirt_is_ready(listen: str, early: bool) -> None:
    assert parse(domain(listen)).reachable_early is early


def commandline(*arguments: str) -> str:
    values = "".join(f"<q:arg value='{argument}'/>" for argument in arguments)
    space = "xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'"
    return f"<domain {space}><devices/><q:commandline>{values}</q:commandline></domain>"


def test_a_server_on_qemus_command_line_can_be_reached_early() -> None:
    graphics = parse(commandline("-vnc", "127.0.0.1:77"))
    assert graphics.reachable_early
    assert graphics.unobservable == ""


@pytest.mark.parametrize(
    ("xml", "problem"),
    [
        (domain("<graphics type='vnc'><listen type='none'/></graphics>"), "has no listener"),
        (commandline("-vnc", "none"), "has no listener"),
        (commandline("-vnc", "10.0.0.9:5500,reverse=on"), "connects to its viewer"),
        (commandline("-vnc", "10.0.0.9:5500,reverse"), "connects to its viewer"),
        (commandline("-vnc", "10.0.0.9:5500,reverse=true"), "connects to its viewer"),
        (commandline("-vnc", "10.0.0.9:5500,reverse=y"), "connects to its viewer"),
        (commandline("-vnc", "10.0.0.9:5500,reverse=off"), ""),
        (commandline("-display", "vnc=10.0.0.9:5500,reverse=on"), "connects to its viewer"),
        (commandline("-vnc", "reverse=on,vnc=10.0.0.9:5500"), "connects to its viewer"),
        (commandline("-vnc", "id=two,vnc=none"), "has no listener"),
        (commandline("-vnc", "127.0.0.1:78,id=none"), ""),
    ],
)
def test_a_server_whose_clients_cause_no_event_is_named(xml: str, problem: str) -> None:
    assert problem in parse(xml).unobservable


def test_with_both_the_port_that_was_dialled_tells_them_apart() -> None:
    graphics = parse(domain(VNC, SPICE))
    assert [port for port in (5900, 5901, 5902) if graphics.is_vnc(tcp(port))] == [5900]


@pytest.mark.parametrize(
    ("listen", "vnc_at_its_port"),
    [
        ("127.0.0.1", ["127.0.0.2"]),
        # A VNC server cannot have the same port, or the events may state the address in another form.
        ("0.0.0.0", []),  # noqa: S104 - a description's
        ("localhost", []),
        ("127.0.0.01", []),
        ("::1", []),
    ],
)
def test_a_vnc_server_of_qemus_arguments_may_have_the_port_of_spice_at_another_address(
    listen: str, vnc_at_its_port: list[str]
) -> None:
    spice = f"<graphics type='spice' port='5901'><listen type='address' address='{listen}'/></graphics>"
    xml = commandline("-vnc", "127.0.0.2:1").replace("<devices/>", f"<devices>{spice}</devices>")
    graphics = parse(xml)
    hosts = ["127.0.0.1", "127.0.0.2"]
    assert [host for host in hosts if graphics.is_vnc(SocketAddress(Transport.TCP, host, 5901))] == vnc_at_its_port


def test_with_both_on_unix_sockets_only_vnc_states_its_path() -> None:
    graphics = parse(domain("<graphics type='vnc'/>", "<graphics type='spice'/>"))
    assert graphics.is_vnc(PATH)
    assert not graphics.is_vnc(NO_PATH)


def test_a_port_that_is_not_set_belongs_to_nobody() -> None:
    graphics = parse(domain(VNC, "<graphics type='spice' port='-1' tlsPort='x'/>"))
    assert graphics.spice_ports == frozenset()


@pytest.mark.parametrize(
    ("spice", "expected"),
    [
        ("<graphics type='spice'><listen type='socket'/></graphics>", Spice()),
        ("<graphics type='spice' port='1'/>", Spice(reachable_early=True)),
        ("<graphics type='spice' port='1'><listen type='network'/></graphics>", Spice(reachable_early=True)),
    ],
)
def test_a_spice_server_may_be_reachable_early_too(spice: str, expected: Spice) -> None:
    assert parse(domain(VNC, spice)).spice == expected


def test_the_server_for_several_clients_is_known_by_a_variable() -> None:
    env = f"<commandline xmlns='{QEMU}'><env name='SPICE_DEBUG_ALLOW_MC' value='1'/></commandline>"
    assert parse(f"<domain>{env}<devices/></domain>").spice.several_clients


@pytest.mark.parametrize(
    ("xml", "problem"),
    [
        (domain("<graphics type='spice'><listen type='none'/></graphics>"), "the SPICE server has no listener"),
        (f"<domain><commandline xmlns='{QEMU}'><arg value='-spice'/></commandline></domain>", "QEMU's own arguments"),
    ],
)
def test_a_spice_server_whose_clients_are_not_seen_is_named(xml: str, problem: str) -> None:
    assert parse(xml).spice.unobservable.startswith(problem)


def test_graphics_elsewhere_in_the_description_are_none_of_the_domain() -> None:
    xml = "<domain><metadata><devices><graphics type='spice'/></devices></metadata><devices/></domain>"
    assert not parse(xml).has_spice


@pytest.mark.parametrize("xml", ["", "<domain>", "<a/><b/>", "\ud800", "<domain>\0</domain>"])
def test_what_is_no_xml_is_refused(xml: str) -> None:
    with pytest.raises(DomainXMLError, match="the domain's XML cannot be read"):
        parse(xml)


def test_a_description_beyond_all_measure_is_refused() -> None:
    with pytest.raises(DomainXMLError, match="characters"):
        parse(" " * (16 * 1024 * 1024 + 1))


@given(st.text(alphabet="<>/='\"&; domaevicsgrph\n", max_size=200))
def test_nothing_makes_it_fail_otherwise(xml: str) -> None:
    with contextlib.suppress(DomainXMLError):
        parse(xml)
