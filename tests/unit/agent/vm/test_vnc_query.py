"""QEMU's answer, and whatever else it may send."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher_agent.errors import QueryError, UnobservableError
from launcher_agent.events import SocketAddress, Transport
from launcher_agent.vm.vnc_query import parse, tcp_address

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["return", "clients", "server", "host", "service", "family"]), inner)
    ),
)


def server(port: int, *clients: object, listeners: list[dict[str, object]] | None = None) -> dict[str, object]:
    if listeners is None:
        listeners = [client("ipv4", "127.0.0.1", str(port))]
    return {"id": "default", "auth": "none", "server": listeners, "clients": list(clients)}


def answer(*clients: object) -> str:
    return json.dumps({"return": [server(5900, *clients)], "id": "libvirt-1"})


def client(family: str, host: str, service: str) -> dict[str, object]:
    return {"family": family, "host": host, "service": service, "websocket": False}


def test_every_client_is_told_by_what_is_known_of_it() -> None:
    text = answer(
        client("ipv4", "127.0.0.1", "40001"), client("ipv6", "::1", "40002"), client("unix", "", "/run/virt-vnc")
    )
    assert parse(text) == (
        SocketAddress(Transport.TCP, "127.0.0.1", 40001, server=5900),
        SocketAddress(Transport.TCP, "::1", 40002, server=5900),
        SocketAddress(Transport.UNIX),
    )


def test_without_a_vnc_server_there_are_no_clients() -> None:
    assert parse('{"return":[]}') == ()


def test_the_clients_of_all_servers_are_listed() -> None:
    one, two = client("ipv4", "10.0.0.9", "4000"), client("ipv4", "10.0.0.9", "4000")
    assert parse(json.dumps({"return": [server(5901, one), server(5900, two)]})) == (
        SocketAddress(Transport.TCP, "10.0.0.9", 4000, server=5901),
        SocketAddress(Transport.TCP, "10.0.0.9", 4000, server=5900),
    )


def test_a_websockets_client_has_the_port_of_the_display_as_in_its_events() -> None:
    """QEMU lists the websocket's listeners first, and the listener that its events name last."""
    listeners = [
        {**client("ipv4", "127.0.0.1", "5700"), "websocket": True},
        client("ipv6", "::", "5901"),
        client("ipv4", "127.0.0.1", "5900"),
    ]
    listed = server(5900, {**client("ipv4", "10.0.0.9", "4000"), "websocket": True}, listeners=listeners)
    assert parse(json.dumps({"return": [listed]})) == (SocketAddress(Transport.TCP, "10.0.0.9", 4000, server=5900),)


@pytest.mark.parametrize("clients", [[], [client("unix", "", "")]])
def test_a_server_without_a_listener_beside_others_makes_the_list_useless(clients: list[object]) -> None:
    listed = [server(5900), server(0, *clients, listeners=[])]
    with pytest.raises(UnobservableError, match="QEMU has a VNC server without a listener"):
        parse(json.dumps({"return": listed}))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the answer is not JSON"),
        ("[" * 100_000, "the answer is not JSON"),
        ('{"error":{"class":"GenericError","desc":"no"}}', "the answer has no 'return'"),
        ('{"return":{}}', "the answer has no 'return'"),
        ('{"return":[{"server":[]}]}', "the answer has no 'clients'"),
        ('{"return":[7]}', "the answer has no 'server'"),
        (answer(client("vsock", "1", "2")), "a client has an unknown address family"),
        (answer({"host": 1}), "the answer has no 'family'"),
        (answer(7), "the answer has no 'family'"),
        (answer(*[client("unix", "", "")] * 65_536), "the answer has 65536 clients"),
        (json.dumps({"return": [0] * 257}), "the answer has 257 servers"),
        (" " * (16 * 1024 * 1024 + 1), "the answer has 16777217 characters"),
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error(text: str, problem: str) -> None:
    with pytest.raises(QueryError, match=problem):
        parse(text)


@given(JSON)
def test_nothing_makes_it_fail_otherwise(value: object) -> None:
    with contextlib.suppress(QueryError):
        parse(json.dumps(value))


@pytest.mark.parametrize("service", ["", "x", "-1", "65536", "999999", "\N{FULLWIDTH DIGIT FOUR}", "vnc"])
def test_a_peer_without_a_usable_port_is_anonymous(service: str) -> None:
    assert tcp_address("127.0.0.1", service).anonymous


def test_a_peer_with_an_address_beyond_all_measure_is_anonymous() -> None:
    assert tcp_address("h" * 65, "1").anonymous
    assert not tcp_address("h" * 64, "1").anonymous
