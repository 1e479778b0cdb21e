"""The targets: for each parser of foreign data a function that takes bytes, and seeds.

A target permits the errors that the parser may raise, and no others. It asserts what must hold of the parsed value.
"""

import contextlib
import ctypes
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import libvirt
from google.protobuf.message import DecodeError

from handler_service.cluster import vmi_schema as schema
from handler_service.endpoints.http2_limits import Http2Limits, LimitExceededError, Unfinished
from handler_service.kube import companion
from handler_service.kube import vmi as vmis
from handler_service.kube.conditions import Detail
from handler_service.kube.errors import KubeError
from handler_service.kube.listing import Selection
from handler_service.kube.reflector import Reflector
from handler_service.model import Endpoint, PublishedValue, PublishProgress, VmiId
from handler_service.publishers import vmi_document
from handler_service.reports.decode import KNOWN_SERVICES
from handler_service.reports.protocol import RejectedError, SessionProtocol
from handler_service.reports.store import ReportStore
from launcher_agent.errors import DomainXMLError, QueryError
from launcher_agent.events import GraphicsEvent, Phase, SocketAddress, Transport
from launcher_agent.reporting.protocol import ReportProtocol
from launcher_agent.sessions.spice_table import SpiceTable
from launcher_agent.sessions.table import SessionTable
from launcher_agent.state import State
from launcher_agent.vm import device_xml, domain_xml, graphics_events, poll_query, spice_query, vnc_query
from servicestatus import contract
from servicestatus.rate_limit import TokenBucket
from servicestatus.reasons import Reason
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1.sessions_pb2 import VmiReference
from tests.hostile import http2
from tests.skew import dialogue


@dataclass(frozen=True)
class Target:
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _cut(data: bytes) -> list[bytes]:
    """One input holds several messages, each with its length in the two bytes before it."""
    parts = []
    while len(data) > 2:
        length = int.from_bytes(data[:2], "big")
        parts.append(data[2 : 2 + length])
        data = data[2 + length :]
    return parts


def joined(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


# --- the stream, at both ends -----------------------------------------------------------------------------------------

_VMI: Final = VmiId("default", "vm", "")
_LINES: Final = [line for line in dialogue.read() if line.who != "event"]
_REQUESTS: Final = tuple(line.said for line in _LINES if line.who != "handler")
_RESPONSES: Final = tuple(line.said for line in _LINES if line.who == "handler")


def handler_stream(data: bytes) -> None:
    """Messages of an agent: no number that the contract forbids gets into the report store."""
    reports = ReportStore(15.0, lambda _: None)
    reports.add(Endpoint("a", _VMI, "a.sock"), 0.0)
    protocol = SessionProtocol(
        reports,
        Endpoint("a", _VMI, "a.sock"),
        contract.StreamSettings(),
        "1",
        PublishProgress,
        bucket=TokenBucket(1000, 1.0),
    )
    with contextlib.suppress(RejectedError, DecodeError):
        for number, part in enumerate(_cut(data)):
            protocol.receive(pb.ReportSessionsRequest.FromString(part), float(number))
            protocol.ack()
    entry = reports.entry("a")
    for state in entry.services.values():
        assert 0 <= state.sessions <= contract.MAX_SESSIONS
        assert len(state.identified) <= min(contract.MAX_IDENTIFIED, state.sessions)
    assert entry.services.keys() <= KNOWN_SERVICES
    assert len(entry.instance) <= contract.MAX_NAME_BYTES
    assert len(entry.observation.message.encode()) <= contract.MAX_TEXT_BYTES


def agent_stream(data: bytes) -> None:
    """Messages of a handler: the agent neither spins nor stops sending, and sends only what the protocol permits."""
    state = State(lambda: 1000.0)
    state.table.clear(1000.0)
    state.observe(Reason.WATCHING)
    protocol = ReportProtocol("i", "1", VmiReference(), state.report())
    protocol.hello()
    now = 0.0
    with contextlib.suppress(DecodeError):
        for part in _cut(data):
            protocol.receive(pb.ReportSessionsResponse.FromString(part), now)
            for _ in range(4):
                sent = protocol.poll(now)
                assert sent is None or sent.ByteSize() <= contract.MAX_MESSAGE_BYTES
            assert protocol.poll(now) is None, "the agent would never stop sending"
            wake = protocol.wake_at(now)
            if protocol.stream.settings is None:
                assert wake is None
            else:
                assert wake is not None
                assert wake <= now + contract.HEARTBEAT_RANGE[1]
            now += 0.01
    ack = protocol.stream.last_ack
    assert ack.published <= ack.accepted <= protocol.sequence


def proxy(data: bytes) -> None:
    """The proxy before gRPC: its two counters stay right."""
    unfinished = Unfinished()
    bounds = Http2Limits(unfinished)
    with contextlib.suppress(LimitExceededError):
        bounds.take(http2.PREFACE)
        for part in _cut(data):
            assert bounds.take(part) >= len(part)
    assert 0 <= unfinished.total <= 68 * 1024
    bounds.close()
    assert unfinished.total == 0


# --- Kubernetes -------------------------------------------------------------------------------------------------------


def _vmi() -> dict[str, Any]:
    metadata = {"name": "vm", "namespace": "default", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"}}
    status = {"nodeName": "n", "phase": "Running", "activePods": {"p": "n"}, "serviceStatus": {"vncSessions": 1}}
    return {"kind": "VirtualMachineInstance", "metadata": metadata, "status": status}


def vmi_object(data: bytes) -> None:
    """A VMI of the watch: any object is parsed as a VMI or rejected."""
    with contextlib.suppress(ValueError, RecursionError):
        object_ = json.loads(data)
        parsed = vmis.parse(object_, "n")
        assert vmis.parse(vmis.reduced(object_, "n"), "n") == parsed
        if parsed is not None:
            assert parsed.published.sessions >= 0
            assert parsed.id.name
            assert len(parsed.pods) <= vmis.MAX_PODS


def companion_object(data: bytes) -> None:
    """A companion, and the CRD that says whether VMIs have the field."""
    with contextlib.suppress(ValueError, RecursionError):
        object_ = json.loads(data)
        companion.parse(object_)
        schema.has_service_status(object_)


class _Sink:
    def listed(self, objects: list[Any]) -> None:
        """Never."""

    def changed(self, object_: Any) -> None:
        vmis.parse(object_)

    def deleted(self, object_: Any) -> None:
        vmis.parse(object_)


def watch_line(data: bytes) -> None:
    """A line of a watch: an event, or an error that the watch loop handles."""
    nobody: Any = None
    watch = Reflector(nobody, Selection("/x"), _Sink(), 60.0)
    with contextlib.suppress(KubeError):
        watch._event(data)


# --- libvirt and QEMU -------------------------------------------------------------------------------------------------


libvirt.registerErrorHandler(lambda *_: None, None)  # otherwise each invalid domain prints to standard error


def libvirt_callback(data: bytes) -> None:
    """The arguments of a graphics event, and the session table after a series of them."""
    table = SessionTable(capacity=4)
    for number, part in enumerate(_cut(data)):
        head, rest = part[:3].ljust(3, b"\0"), part[3:].split(b"\0")
        node, service = ([*rest, None])[0], rest[1] if len(rest) > 1 else None
        remote = ctypes.pointer(graphics_events._Address(head[1] % 4, node, service))
        local = ctypes.pointer(graphics_events._Address(head[2] % 4, service, node))
        event = graphics_events._event(0, head[0] % 5, local, remote)
        if isinstance(event, GraphicsEvent):
            table.apply(event.phase, event.remote, float(number))
        view = table.view()
        assert view.sessions == view.started_total - view.ended_total
        assert 0 <= view.sessions <= contract.MAX_SESSIONS
        assert 0 <= view.pending <= contract.MAX_SESSIONS
        assert len(view.identified) <= min(4, view.sessions)


def query_vnc(data: bytes) -> None:
    """QEMU's response, which its guest may have written."""
    with contextlib.suppress(QueryError):
        clients = vnc_query.parse(data.decode("utf-8", "replace"))
        table = SessionTable()
        table.open_query_window()
        table.apply(Phase.CONNECT, SocketAddress(Transport.UNIX), 1.0)
        table.reconcile(clients, 2.0)
        assert 0 <= table.view().sessions <= contract.MAX_SESSIONS


def query_spice(data: bytes) -> None:
    """The same of a SPICE server."""
    with contextlib.suppress(QueryError):
        channels = spice_query.parse(data.decode("utf-8", "replace"))
        table = SpiceTable(capacity=4)
        table.open_window()
        table.apply(Phase.CONNECT, SocketAddress(Transport.UNIX))
        table.reconcile(channels)
        assert 0 <= table.sessions <= len(channels)


def query_ports(data: bytes) -> None:
    """QEMU's responses to a poll."""
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(QueryError):
        assert poll_query.connected(text, ["redir0", "serial0"]) <= {"redir0", "serial0"}
    with contextlib.suppress(QueryError):
        poll_query.attached(text)


def domain_description(data: bytes) -> None:
    """libvirt's XML of the domain."""
    with contextlib.suppress(DomainXMLError):
        domain_xml.parse(data.decode("utf-8", "replace"))
        device_xml.parse(data.decode("utf-8", "replace"))


# --- the file publisher -----------------------------------------------------------------------------------------------

_FOLDER: Final = TemporaryDirectory(prefix="vss-fuzz-")
_DOCUMENT: Final = Path(_FOLDER.name) / "default" / "vm.json"


def document(data: bytes) -> None:
    """A document of another program: if it is understood, its other fields stay; otherwise it is not changed."""
    _DOCUMENT.parent.mkdir(exist_ok=True)
    _DOCUMENT.write_bytes(data)
    try:
        before = vmi_document.load(_DOCUMENT)
    except vmi_document.DocumentError:
        return
    assert before is not None
    value = PublishedValue(3, Detail(True, "Watching", "", 5, ""))
    with contextlib.suppress(vmi_document.DocumentError):
        after = json.loads(vmi_document._serialized(_DOCUMENT, vmi_document.changed(before, value, 30.0, 7.0)))
        assert after["status"]["serviceStatus"]["vncSessions"] == 3
        assert {key: value for key, value in after.items() if key != "status"} == {
            key: value for key, value in before.items() if key != "status"
        }
        assert vmi_document.shown_value(after) == value


_ERROR: Final = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}

_TCP: Final = {"host": "::1", "family": "ipv6", "service": "5900", "websocket": False}

TARGETS: Final[dict[str, Target]] = {
    "handler-stream": Target(handler_stream, (joined(*_REQUESTS), joined(*_REQUESTS[:2]), *map(joined, _REQUESTS))),
    "agent-stream": Target(agent_stream, (joined(*_RESPONSES), joined(*_RESPONSES[:2]), *map(joined, _RESPONSES))),
    "http2-proxy": Target(
        proxy,
        (
            joined(http2.settings((4, 9)), http2.open_stream(1), http2.data(1, b"\0\0\0\0\x02ab")),
            joined(http2.open_stream(3, b"\x82\x40\x01a\x01b\x3f\xe1\x1f"), http2.frame(3, 0, 3, bytes(4))),
        ),
    ),
    "vmi-object": Target(vmi_object, (_json(_vmi()), _json({}), b"[1e999, NaN]")),
    "companion-object": Target(
        companion_object, (_json(_vmi()), _json({"status": {"conditions": [{"type": "Idle"}]}}))
    ),
    "watch-line": Target(watch_line, (_json({"type": "ADDED", "object": _vmi()}), _json(_ERROR), b"{}")),
    "libvirt-callback": Target(
        libvirt_callback,
        (
            joined(b"\0\2\2\0", b"\1\2\2\0", b"\2\2\2\0"),
            joined(b"\0\0\x00127.0.0.1\x005900", b"\1\0\x00127.0.0.1\x005900"),
        ),
    ),
    "query-vnc": Target(
        query_vnc,
        (
            _json({"return": [{"server": [], "clients": [{"host": "", "family": "unix", "service": ""}]}]}),
            _json({"return": [{"server": [_TCP], "clients": [{**_TCP, "service": "40000"}, {**_TCP, "host": "h"}]}]}),
        ),
    ),
    "query-spice": Target(
        query_spice,
        (
            _json({"return": {"enabled": True, "channels": [{**_TCP, "port": "1", "connection-id": 7}]}}),
            _json({"return": {"enabled": True, "channels": [{"family": "unix", "connection-id": 7}]}}),
        ),
    ),
    "query-ports": Target(
        query_ports,
        (
            _json(
                {"return": [{"label": "charredir0", "filename": "unix:/a"}, {"label": "charserial0", "filename": ""}]}
            ),
            _json({"return": True}),
            _json({"error": {"class": "DeviceNotFound", "desc": "gone"}}),
        ),
    ),
    "domain-description": Target(
        domain_description,
        (
            b"<domain><devices><graphics type='vnc' port='5900'/></devices></domain>",
            b"<domain><devices><redirdev type='unix'><alias name='r'/></redirdev><serial/></devices></domain>",
            b"<!DOCTYPE a>",
        ),
    ),
    "document": Target(document, (_json(_vmi()), b"{}", b'{"status": {"serviceStatus": null}}', b"\xff")),
}
