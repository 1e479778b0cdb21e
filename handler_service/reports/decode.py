"""Translates an agent's messages into the report store's values, and rejects values that are out of bounds.

Pure. Every byte here comes from a pod that may be hostile: a number is checked before it is used, and a text is cut
to what a person may need. If this code and the contract in `session_report_service.proto` differ, the contract is
right.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from google.protobuf.message import Message

from handler_service.model import Reason
from handler_service.reports.entry import Identified, Observed, ServiceState
from handler_service.services import BY_NUMBER
from servicestatus import contract
from servicestatus.text import escape, fits, truncate
from servicestatus.timestamps import seconds_of, time_of
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types

_Service = TypeVar("_Service", types.ServiceSessions, pb.ServiceDelta)

#: The services that this handler has a field for. Others are ignored and counted.
KNOWN_SERVICES: Final = frozenset({types.SERVICE_VNC, *BY_NUMBER})

_OBSERVATION_REASONS: Final = frozenset(types.ObservationReason.values())
_ACCURACIES: Final = frozenset(types.Accuracy.values())
_TRANSPORTS: Final = frozenset(types.Transport.values())


class OutOfBoundsError(Exception):
    """A field has a value that the contract does not allow; the text names the field."""


class MismatchError(Exception):
    """A delta's numbers are inconsistent."""


def require_within(field: str, value: str, limit: int) -> str:
    """Return `value` if it has at most `limit` bytes; raises OutOfBoundsError naming `field`."""
    if not fits(value, limit):
        raise OutOfBoundsError(f"{field} is longer than {limit} bytes")
    return value


def observation(message: types.Observation) -> Observed:
    """Return whether the agent observes its VM, as it reports it. An unknown reason is kept."""
    return Observed(
        observed=message.observed,
        reason=Reason.of_wire(message.reason),
        # It is shown in conditions and events, which terminals print. Escaping lengthens it, so it is cut afterwards.
        message=truncate(escape(truncate(message.message, contract.MAX_TEXT_BYTES)), contract.MAX_TEXT_BYTES),
        since=time_of(message, "since"),
    )


def snapshot_services(services: Iterable[types.ServiceSessions]) -> dict[int, ServiceState]:
    """Return the known services by number; raises OutOfBoundsError."""
    return {number: _state(service, _identified(service.identified)) for number, service in _known(services).items()}


def delta_services(services: Iterable[pb.ServiceDelta], before: Mapping[int, ServiceState]) -> dict[int, ServiceState]:
    """Return the known services after a delta; raises MismatchError, OutOfBoundsError."""
    known = _known(services)
    return {number: _applied(service, before.get(number, ServiceState())) for number, service in known.items()}


def unknown_items(message: pb.Snapshot | pb.Delta) -> int:
    """Return how many services and enum values of `message` this handler does not know."""
    known = [service for service in message.services if service.service in KNOWN_SERVICES]
    sessions = [
        session
        for service in known
        for session in (service.identified if isinstance(service, types.ServiceSessions) else service.opened)
    ]
    return (
        (len(message.services) - len(known))
        + sum(service.accuracy not in _ACCURACIES for service in known)
        + sum(service.observation.reason not in _OBSERVATION_REASONS for service in known)
        + sum(session.transport not in _TRANSPORTS for session in sessions)
        + (message.observation.reason not in _OBSERVATION_REASONS)
    )


def anonymize(message: pb.Snapshot | pb.Delta) -> None:
    """Remove the peers from `message`: the feature that permits them is not in force."""
    for service in message.services:
        if isinstance(service, types.ServiceSessions):
            service.ClearField("identified")
        else:
            service.ClearField("opened")
            service.ClearField("closed")


def drop_times_after(request: pb.ReportSessionsRequest, latest: float) -> None:
    """Remove each time after `latest`, wall time, from a Snapshot or a Delta: nothing can have happened then.

    A reader would compute a negative age from it, or wait until the year 9999.
    """
    arm = request.WhichOneof("message")
    if arm not in ("snapshot", "delta"):
        return
    message: pb.Snapshot | pb.Delta = getattr(request, arm)
    _drop_after(message.observation, "since", latest)
    for service in message.services:
        _drop_after(service, "since", latest)
        _drop_after(service.observation, "since", latest)
        for session in service.identified if isinstance(service, types.ServiceSessions) else service.opened:
            _drop_after(session, "started_at", latest)


def _drop_after(message: Message, field: str, latest: float) -> None:
    if message.HasField(field) and getattr(message, field).seconds > latest:
        message.ClearField(field)


def counters(message: types.AgentCounters) -> Mapping[str, int]:
    """Return the agent's counters by name."""
    return MappingProxyType({field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields})


def _known(services: Iterable[_Service]) -> dict[int, _Service]:
    listed = list(services)
    if len(listed) > contract.MAX_SERVICES:
        raise OutOfBoundsError(f"more than {contract.MAX_SERVICES} services")
    known: dict[int, _Service] = {}
    for service in listed:
        if service.service in known:
            raise OutOfBoundsError(f"service {service.service} is there twice")
        if service.service in KNOWN_SERVICES:
            known[service.service] = service
    return known


def _applied(delta: pb.ServiceDelta, before: ServiceState) -> ServiceState:
    if before.sessions + delta.started - delta.ended != delta.sessions:
        raise MismatchError(f"{before.sessions} + {delta.started} - {delta.ended} is not {delta.sessions}")
    gone = set(delta.closed)
    if len(gone) != len(delta.closed) or not gone <= before.identified.keys():
        raise MismatchError("a session was closed that was not open")
    opened = _identified(delta.opened)
    left = {id_: session for id_, session in before.identified.items() if id_ not in gone}
    if left.keys() & opened.keys():
        raise MismatchError("a session was opened that was open")
    return _state(delta, left | opened)


def _state(message: types.ServiceSessions | pb.ServiceDelta, identified: dict[int, Identified]) -> ServiceState:
    if message.sessions > contract.MAX_SESSIONS or message.pending > contract.MAX_SESSIONS:
        raise OutOfBoundsError(f"more than {contract.MAX_SESSIONS} sessions")
    if len(identified) > min(message.sessions, contract.MAX_IDENTIFIED):
        raise OutOfBoundsError("more identified sessions than sessions, or than allowed")
    return ServiceState(
        sessions=message.sessions,
        pending=message.pending,
        accuracy=_accuracy(message.accuracy),
        since=time_of(message, "since"),
        identified=MappingProxyType(identified),
        observation=observation(message.observation) if message.HasField("observation") else None,
        sampled_every=_sampled_every(message),
    )


def _sampled_every(message: types.ServiceSessions | pb.ServiceDelta) -> float | None:
    seconds = seconds_of(message, "sampled_every")
    low, high = contract.POLL_INTERVAL_RANGE
    return None if seconds is None else min(max(seconds, low), high)


def _identified(sessions: Iterable[types.IdentifiedSession]) -> dict[int, Identified]:
    found: dict[int, Identified] = {}
    for session in sessions:
        if session.id == 0 or session.id in found:
            raise OutOfBoundsError(f"identified session {session.id} is 0 or there twice")
        if session.peer_port > 65_535:
            raise OutOfBoundsError(f"peer_port {session.peer_port}")
        address = require_within("peer_address", session.peer_address, contract.MAX_NAME_BYTES)
        transport = session.transport if session.transport in _TRANSPORTS else types.TRANSPORT_UNSPECIFIED
        found[session.id] = Identified(transport, address, session.peer_port, time_of(session, "started_at"))
    return found


def _accuracy(value: int) -> int:
    """An unspecified accuracy, or one of a later version, is read as the one that never lowers a value wrongly."""
    stated = value in _ACCURACIES and value != types.ACCURACY_UNSPECIFIED
    return value if stated else types.ACCURACY_UPPER_BOUND


def hello_fields(hello: pb.Hello) -> None:
    """Check a Hello's bounds; raises OutOfBoundsError."""
    require_within("instance", hello.instance, contract.MAX_NAME_BYTES)
    require_within("agent_version", hello.agent_version, contract.MAX_NAME_BYTES)
    if not (hello.instance.isascii() and hello.instance.isprintable() and hello.instance.strip()):
        raise OutOfBoundsError("instance is empty or not printable ASCII")
    if len(hello.features) > contract.MAX_FEATURES:
        raise OutOfBoundsError(f"more than {contract.MAX_FEATURES} features")
    for feature in hello.features:
        require_within("features", feature, contract.MAX_NAME_BYTES)
    require_within("vmi.namespace", hello.vmi.namespace, contract.MAX_NAMESPACE_BYTES)
    require_within("vmi.name", hello.vmi.name, contract.MAX_OBJECT_NAME_BYTES)
    require_within("vmi.uid", hello.vmi.uid, contract.MAX_NAME_BYTES)
