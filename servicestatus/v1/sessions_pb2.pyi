import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Service(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SERVICE_UNSPECIFIED: _ClassVar[Service]
    SERVICE_VNC: _ClassVar[Service]
    SERVICE_USB_REDIRECTION: _ClassVar[Service]
    SERVICE_SERIAL_CONSOLE: _ClassVar[Service]
    SERVICE_SPICE: _ClassVar[Service]

class Accuracy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACCURACY_UNSPECIFIED: _ClassVar[Accuracy]
    ACCURACY_EXACT: _ClassVar[Accuracy]
    ACCURACY_UPPER_BOUND: _ClassVar[Accuracy]
    ACCURACY_LOWER_BOUND: _ClassVar[Accuracy]

class Transport(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSPORT_UNSPECIFIED: _ClassVar[Transport]
    TRANSPORT_UNIX: _ClassVar[Transport]
    TRANSPORT_TCP: _ClassVar[Transport]

class ObservationReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OBSERVATION_REASON_UNSPECIFIED: _ClassVar[ObservationReason]
    OBSERVATION_REASON_WATCHING: _ClassVar[ObservationReason]
    OBSERVATION_REASON_NO_DOMAIN: _ClassVar[ObservationReason]
    OBSERVATION_REASON_LIBVIRT_UNREACHABLE: _ClassVar[ObservationReason]
    OBSERVATION_REASON_RECONCILING: _ClassVar[ObservationReason]
    OBSERVATION_REASON_AMBIGUOUS_DOMAIN: _ClassVar[ObservationReason]
    OBSERVATION_REASON_LOWER_BOUND: _ClassVar[ObservationReason]
    OBSERVATION_REASON_UNOBSERVABLE_LISTENER: _ClassVar[ObservationReason]
    OBSERVATION_REASON_DOMAIN_NOT_DEFINED: _ClassVar[ObservationReason]
    OBSERVATION_REASON_NOT_WATCHED: _ClassVar[ObservationReason]
    OBSERVATION_REASON_QUERY_FAILED: _ClassVar[ObservationReason]
SERVICE_UNSPECIFIED: Service
SERVICE_VNC: Service
SERVICE_USB_REDIRECTION: Service
SERVICE_SERIAL_CONSOLE: Service
SERVICE_SPICE: Service
ACCURACY_UNSPECIFIED: Accuracy
ACCURACY_EXACT: Accuracy
ACCURACY_UPPER_BOUND: Accuracy
ACCURACY_LOWER_BOUND: Accuracy
TRANSPORT_UNSPECIFIED: Transport
TRANSPORT_UNIX: Transport
TRANSPORT_TCP: Transport
OBSERVATION_REASON_UNSPECIFIED: ObservationReason
OBSERVATION_REASON_WATCHING: ObservationReason
OBSERVATION_REASON_NO_DOMAIN: ObservationReason
OBSERVATION_REASON_LIBVIRT_UNREACHABLE: ObservationReason
OBSERVATION_REASON_RECONCILING: ObservationReason
OBSERVATION_REASON_AMBIGUOUS_DOMAIN: ObservationReason
OBSERVATION_REASON_LOWER_BOUND: ObservationReason
OBSERVATION_REASON_UNOBSERVABLE_LISTENER: ObservationReason
OBSERVATION_REASON_DOMAIN_NOT_DEFINED: ObservationReason
OBSERVATION_REASON_NOT_WATCHED: ObservationReason
OBSERVATION_REASON_QUERY_FAILED: ObservationReason

class VmiReference(_message.Message):
    __slots__ = ("namespace", "name", "uid")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    name: str
    uid: str
    def __init__(self, namespace: _Optional[str] = ..., name: _Optional[str] = ..., uid: _Optional[str] = ...) -> None: ...

class Observation(_message.Message):
    __slots__ = ("observed", "reason", "message", "since")
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    observed: bool
    reason: ObservationReason
    message: str
    since: _timestamp_pb2.Timestamp
    def __init__(self, observed: _Optional[bool] = ..., reason: _Optional[_Union[ObservationReason, str]] = ..., message: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class IdentifiedSession(_message.Message):
    __slots__ = ("id", "transport", "peer_address", "peer_port", "started_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PEER_PORT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    id: int
    transport: Transport
    peer_address: str
    peer_port: int
    started_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[int] = ..., transport: _Optional[_Union[Transport, str]] = ..., peer_address: _Optional[str] = ..., peer_port: _Optional[int] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ServiceSessions(_message.Message):
    __slots__ = ("service", "sessions", "pending", "accuracy", "since", "identified", "observation", "sampled_every")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIED_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    SAMPLED_EVERY_FIELD_NUMBER: _ClassVar[int]
    service: Service
    sessions: int
    pending: int
    accuracy: Accuracy
    since: _timestamp_pb2.Timestamp
    identified: _containers.RepeatedCompositeFieldContainer[IdentifiedSession]
    observation: Observation
    sampled_every: _duration_pb2.Duration
    def __init__(self, service: _Optional[_Union[Service, str]] = ..., sessions: _Optional[int] = ..., pending: _Optional[int] = ..., accuracy: _Optional[_Union[Accuracy, str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., identified: _Optional[_Iterable[_Union[IdentifiedSession, _Mapping]]] = ..., observation: _Optional[_Union[Observation, _Mapping]] = ..., sampled_every: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Polling(_message.Message):
    __slots__ = ("service", "interval")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    service: Service
    interval: _duration_pb2.Duration
    def __init__(self, service: _Optional[_Union[Service, str]] = ..., interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class AgentCounters(_message.Message):
    __slots__ = ("libvirt_connects", "events_received", "events_ignored", "queries", "table_overflows", "unknown_messages", "polls", "poll_failures")
    LIBVIRT_CONNECTS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    EVENTS_IGNORED_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    TABLE_OVERFLOWS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    POLLS_FIELD_NUMBER: _ClassVar[int]
    POLL_FAILURES_FIELD_NUMBER: _ClassVar[int]
    libvirt_connects: int
    events_received: int
    events_ignored: int
    queries: int
    table_overflows: int
    unknown_messages: int
    polls: int
    poll_failures: int
    def __init__(self, libvirt_connects: _Optional[int] = ..., events_received: _Optional[int] = ..., events_ignored: _Optional[int] = ..., queries: _Optional[int] = ..., table_overflows: _Optional[int] = ..., unknown_messages: _Optional[int] = ..., polls: _Optional[int] = ..., poll_failures: _Optional[int] = ...) -> None: ...
