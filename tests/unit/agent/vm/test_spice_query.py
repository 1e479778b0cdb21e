"""QEMU's list of SPICE connections."""

import json
from typing import Any

import pytest

from launcher_agent.errors import QueryError
from launcher_agent.events import SpiceChannel
from launcher_agent.vm.spice_query import parse
from tests.unit.agent.fakes import UNIX, tcp


def answer(*channels: dict[str, Any], enabled: bool = True) -> str:
    return json.dumps({"return": {"enabled": enabled, "mouse-mode": "client", "channels": list(channels)}})


def channel(port: int, connection: int, **changes: Any) -> dict[str, Any]:
    stated = {"host": "127.0.0.1", "port": str(port), "family": "ipv4", "connection-id": connection, "channel-type": 1}
    return stated | changes


def test_channels_are_read_with_their_clients_connection() -> None:
    assert parse(answer(channel(1, 7), channel(2, 7))) == (SpiceChannel(tcp(1), 7), SpiceChannel(tcp(2), 7))


@pytest.mark.parametrize("family", ["unix", "unknown"])
def test_a_channel_of_a_unix_socket_is_anonymous(family: str) -> None:
    assert parse(answer(channel(0, 7, family=family))) == (SpiceChannel(UNIX, 7),)


def test_a_server_that_is_off_or_has_no_client_lists_none() -> None:
    assert parse(answer(channel(1, 7), enabled=False)) == ()
    assert parse(answer()) == ()
    assert parse('{"return":{"enabled":true}}') == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"return":[]}',
        '{"return":{}}',
        answer({}),
        answer(channel(1, 7) | {"connection-id": "7"}),
        answer(*[{}] * 65_536),
    ],
)
def test_an_answer_of_another_form_is_an_error(text: str) -> None:
    with pytest.raises(QueryError):
        parse(text)
