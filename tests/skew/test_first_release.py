"""Today's programs understand and send what the first release understood and sent."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format, symbol_database, text_format

from servicestatus.v1 import (
    agent_status_service_pb2,
    service_status_service_pb2,
    session_report_service_pb2,
    sessions_pb2,
)
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types
from servicestatus.v1.sessions_pb2 import SERVICE_SERIAL_CONSOLE, SERVICE_SPICE, SERVICE_USB_REDIRECTION
from testbed.waiting import wait_until_async
from tests.skew import dialogue, golden
from tests.skew.agent_scene import agent
from tests.unit.agent.handler_peer import peer_on
from tests.unit.handler.builders import VMI
from tests.unit.handler.peer import handler

TODAY = (agent_status_service_pb2, service_status_service_pb2, session_report_service_pb2, sessions_pb2)
GOLDEN: list[dict[str, Any]] = json.loads(golden.FIRST_RELEASE.read_text())
LINES = list(dialogue.read())
MESSAGES = [line for line in LINES if line.who != "event"]


def of_today(name: str) -> Any:
    assert TODAY, "the generated modules must have been imported"
    return symbol_database.Default().GetSymbol(name)


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(GOLDEN)))
def test_a_golden_message_means_what_it_meant(number: int) -> None:
    """By the names of its fields and values; and today's code encodes it to the same bytes."""
    record = GOLDEN[number]
    message = of_today(record["message"]).FromString(bytes.fromhex(record["bytes"]))
    assert json_format.MessageToDict(message, preserving_proto_field_name=True) == record["means"]
    written = json_format.ParseDict(record["means"], of_today(record["message"])())
    assert written.SerializeToString(deterministic=True).hex() == record["bytes"]


def test_every_message_of_the_first_release_is_golden() -> None:
    """Those of the released descriptor: today there may be more messages."""
    assert {record["message"] for record in GOLDEN} <= set(golden.messages(golden.released()))
    assert len({record["message"] for record in GOLDEN}) == 34


@pytest.mark.parametrize("number", range(len(MESSAGES)))
def test_a_recorded_message_means_what_is_written_beside_it(number: int) -> None:
    """So a person can read the record."""
    line = MESSAGES[number]
    kind = pb.ReportSessionsResponse if line.who == "handler" else pb.ReportSessionsRequest
    assert text_format.Parse(line.meaning, kind()) == kind.FromString(line.said)


# --- the dialogue -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("polling", [{}, {SERVICE_USB_REDIRECTION: 1.0, SERVICE_SERIAL_CONSOLE: 5.0}])
async def test_todays_handler_understands_the_first_agent(tmp_path: Path, polling: Mapping[int, float]) -> None:
    """It answers in the same order with the same numbers, and publishes what that agent reported.

    It does not ask for a service that this agent does not know: what the agent cannot report is unknown, and not zero.
    """
    async with handler(tmp_path, polling=polling) as running:
        peer = running.dial()
        for line in LINES:
            if line.who == "agent":
                await peer.say(line.request)
            elif line.who == "handler" and line.response.HasField("ack"):
                await peer.hear_ack(line.response.ack.accepted, line.response.ack.published)
            elif line.who == "handler" and line.response.HasField("welcome"):
                welcome = await peer.hear()
                assert _without_terms(welcome) == _without_terms(line.response)
                assert not welcome.welcome.polling
            elif line.who == "handler":
                assert await peer.hear() == line.response
        assert (await peer.end())[0].name == "OK"
        # Viewers: 1, 2, 1, and then the two that came while a message was lost.
        assert running.place.history == [1, 2, 1, 3]
        assert running.place.actual == {VMI: 3}
        desired = running.manager.desired_status(VMI)
        assert desired is not None
        for service in (SERVICE_USB_REDIRECTION, SERVICE_SERIAL_CONSOLE, SERVICE_SPICE):
            status = desired.service(service)
            assert (status.sessions, status.observed) == (0, False)


@pytest.mark.parametrize("others", [False, True], ids=["VNC alone", "other services"])
async def test_todays_agent_understands_the_first_handler(tmp_path: Path, others: bool) -> None:
    """It sends the same messages in the same order, and nothing of services that this handler does not know."""
    socket = tmp_path / "handler.sock"
    async with peer_on(socket) as peer, agent(socket) as scene:
        if others:
            scene.use_other_services()
        conversation = await peer.next_stream()
        stopping = None
        for line in LINES:
            if line.who == "event" and line.meaning == "stop":
                stopping = asyncio.create_task(scene.live("stop"))
            elif line.who == "event":
                if others:
                    scene.use_other_services()
                await scene.live(line.meaning)
            elif line.who == "handler":
                arm = line.response.WhichOneof("message") or ""
                conversation.say(**{arm: getattr(line.response, arm)})
                ack = line.response.ack
                await wait_until_async(
                    lambda wanted=ack.published: scene.protocol.stream.last_ack.published >= wanted,  # type: ignore[misc]
                    what=f"{ack} is received",
                )
            else:
                arm = line.request.WhichOneof("message") or ""
                assert _steady(await conversation.expect(arm)) == _steady(getattr(line.request, arm))
        conversation.end()
        assert stopping is not None
        await stopping
        assert not scene.state.polling


def _without_terms(response: pb.ReportSessionsResponse) -> types.VmiReference:
    """The part of a Welcome that must not change: a handler chooses the stream settings, the version and features."""
    assert response.HasField("welcome")
    return response.welcome.vmi


def _steady(message: Any) -> Any:
    """Without counters, of which a newer agent may have more, and without its own features and version."""
    for field in ("counters", "features", "agent_version"):
        if field in message.DESCRIPTOR.fields_by_name:
            message.ClearField(field)
    return message
