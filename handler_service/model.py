"""The handler's data types: which VMI, which endpoint, and the value to publish.

Pure data, shared by the core and the edges. Monotonic times are seconds of the handler's own clock; wall times are
seconds since the epoch and are never compared with anything, only shown.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Self

from servicestatus.reasons import Reason as AgentReason
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types


class VmiId(NamedTuple):
    """One VMI object. An object that is created again under the same name has another UID and is another VMI."""

    namespace: str
    name: str
    #: Empty outside a cluster.
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A socket together with the identity that it proves."""

    #: Unique in this handler: the pod's UID, or the socket's path outside a cluster.
    id: str
    vmi: VmiId
    #: The socket's path for messages.
    socket: str
    #: Empty outside a cluster.
    pod_uid: str = ""


class Watermark(NamedTuple):
    """The last sequence received from one endpoint. Sequences are compared within one stream only; 0 is none."""

    endpoint_id: str
    stream: int
    sequence: int


class Reason(Enum):
    """Why a VMI's value is observed or not: an agent's reason, or one of the handler's own.

    The values are the words that Kubernetes conditions show.
    """

    WATCHING = AgentReason.WATCHING.value
    NO_DOMAIN = AgentReason.NO_DOMAIN.value
    LIBVIRT_UNREACHABLE = AgentReason.LIBVIRT_UNREACHABLE.value
    RECONCILING = AgentReason.RECONCILING.value
    AMBIGUOUS_DOMAIN = AgentReason.AMBIGUOUS_DOMAIN.value
    LOWER_BOUND = AgentReason.LOWER_BOUND.value
    UNOBSERVABLE_LISTENER = AgentReason.UNOBSERVABLE_LISTENER.value
    DOMAIN_NOT_DEFINED = AgentReason.DOMAIN_NOT_DEFINED.value
    NOT_WATCHED = AgentReason.NOT_WATCHED.value
    QUERY_FAILED = AgentReason.QUERY_FAILED.value
    # The handler's own.
    AGENT_STARTING = "AgentStarting"
    AGENT_SILENT = "AgentSilent"
    AGENT_STOPPED = "AgentStopped"
    NO_AGENT = "NoAgent"
    SOCKET_REFUSED = "SocketRefused"
    TOO_MANY_PODS = "TooManyPods"
    FINISHED = "Finished"
    #: The agent gave no reason, or one of a later version.
    UNKNOWN = "Unknown"

    @property
    def wire(self) -> types.ObservationReason:
        """The value in messages; unspecified for the handler's own reasons, which the contract does not have."""
        agents = AgentReason.__members__.get(self.name)
        return types.OBSERVATION_REASON_UNSPECIFIED if agents is None else agents.wire

    @classmethod
    def of_wire(cls, value: int) -> Self:
        """Return the reason of a value in an agent's message."""
        agents = AgentReason.of_wire(value)
        return cls.UNKNOWN if agents is None else cls[agents.name]


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """The status that follows for one service other than VNC, of one VMI."""

    service: int
    #: As in DesiredStatus.
    sessions: int
    observed: bool
    reason: Reason
    message: str = ""
    since: float | None = None
    #: Seconds between two polls; None if events report each session, or if it is not known.
    sampled_every: float | None = None


@dataclass(frozen=True, slots=True)
class DesiredStatus:
    """The status that follows for one VMI from the reports of all its endpoints.

    Except for `services`, it is about VNC.
    """

    #: The sum of the last numbers reported.
    sessions: int
    #: False: *unknown*. The number may raise a published value, and must not lower it.
    observed: bool
    reason: Reason
    #: For people; empty if the reason suffices.
    message: str
    #: Wall time since when `sessions` has been zero, or more than zero, as far as it can be proved.
    since: float | None
    #: False while an endpoint has not reported and its first lease runs: nothing is lowered or flagged until then.
    synced: bool
    #: What is contained in this, for each endpoint.
    watermarks: tuple[Watermark, ...]
    #: The other services, by number. One that is missing is not watched.
    services: tuple[ServiceStatus, ...] = ()

    def service(self, number: int) -> ServiceStatus:
        """Return the status of a service other than VNC."""
        for one in self.services:
            if one.service == number:
                return one
        return ServiceStatus(number, 0, observed=False, reason=Reason.NOT_WATCHED)


@dataclass(frozen=True, slots=True)
class Unserved:
    """Why a launcher pod that may run a VMI's VM has no endpoint, so that no other pod can vouch for the VMI."""

    reason: Reason
    message: str = ""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What this handler has to do with a VMI."""

    #: It runs on this node: this handler, and no other, publishes its value.
    owned: bool
    #: Its VM has ended for good.
    final: bool = False


class ServiceValue(NamedTuple):
    """What a publisher shows, or should show, of one service other than VNC."""

    service: int
    sessions: int
    #: As in PublishedValue; None: the service is not watched.
    detail: Hashable = None


@dataclass(frozen=True, slots=True)
class PublishedValue:
    """What a publisher shows, or should show, of one VMI: the number of VNC sessions, and the other services."""

    sessions: int
    #: Compared for equality only.
    detail: Hashable = None
    #: By number. One that is not watched and has no number is missing, so that an object without it is up to date.
    services: tuple[ServiceValue, ...] = ()


class OutcomeKind(Enum):
    """How a write ended, according to the response."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    #: The server accepted the write and dropped the field: its schema does not contain the field.
    PRUNED = "pruned"
    #: The server accepted the write and answered with the former value.
    REVERTED = "reverted"
    CONFLICT = "conflict"
    FORBIDDEN = "forbidden"
    #: The object is gone, or was replaced by another one.
    GONE = "gone"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished write."""

    kind: OutcomeKind
    #: The value in the response; None if there was no response.
    actual: PublishedValue | None = None
    #: For people, if something is wrong.
    message: str = ""
    #: Seconds that the server asked to wait before the next try.
    retry_after: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the publisher now holds the value."""
        return self.kind in (OutcomeKind.WRITTEN, OutcomeKind.UNCHANGED)


@dataclass(frozen=True, slots=True)
class PublishProgress:
    """How far the reports of one endpoint are published, and whether the newest value is."""

    stream: int = 0
    #: The last sequence of that stream whose value, or a later one, every publisher has published.
    sequence: int = 0
    state: "pb.PublishState" = pb.PUBLISH_STATE_PENDING
    #: For people, if something is wrong.
    message: str = ""
