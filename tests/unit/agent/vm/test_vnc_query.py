"""QEMU's answer, and whatever else it may send."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher_agent.errors import QueryError
from launcher_agent.events import SocketAddress, Transport
from launcher_agent.vm.vnc_query import parse, tcp_address

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["return", "clients", "enabled", "host", "service", "family"]), inner)
    ),
)


def answer(*clients: dict[str, object]) -> str:
    return json.dumps({"return": {"enabled": True, "clients": list(clients)}, "id": "libvirt-1"})


def client(family: str, host: str, service: str) -> dict[str, object]:
    return {"family": family, "host": host, "service": service, "websocket": False}


def test_every_client_is_told_by_what_is_known_of_it() -> None:
    text = answer(
        client("ipv4", "127.0.0.1", "40001"), client("ipv6", "::1", "40002"), client("unix", "", "/run/virt-vnc")
    )
    assert parse(text) == (
        SocketAddress(Transport.TCP, "127.0.0.1", 40001),
        SocketAddress(Transport.TCP, "::1", 40002),
        SocketAddress(Transport.UNIX),
    )


def test_without_a_vnc_server_there_are_no_clients() -> None:
    assert parse('{"return":{"enabled":false}}') == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the answer is not JSON"),
        ("[" * 100_000, "the answer is not JSON"),
        ('{"error":{"class":"GenericError","desc":"no"}}', "the answer has no 'return'"),
        ('{"return":{"enabled":true}}', "the answer has no 'clients'"),
        (answer(client("vsock", "1", "2")), "a client is of an unknown address family"),
        ('{"return":{"clients":[{"host":1}]}}', "the answer has no 'family'"),
        ('{"return":{"clients":[7]}}', "the answer has no 'family'"),
        (json.dumps({"return": {"clients": [0] * 65_536}}), "the answer has 65536 clients"),
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
