import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from servicestatus.v1 import session_report_service_pb2 as _session_report_service_pb2
from servicestatus.v1 import sessions_pb2 as _sessions_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StreamState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAM_STATE_UNSPECIFIED: _ClassVar[StreamState]
    STREAM_STATE_BACKING_OFF: _ClassVar[StreamState]
    STREAM_STATE_CONNECTING: _ClassVar[StreamState]
    STREAM_STATE_REPORTING: _ClassVar[StreamState]
    STREAM_STATE_DRAINING: _ClassVar[StreamState]
STREAM_STATE_UNSPECIFIED: StreamState
STREAM_STATE_BACKING_OFF: StreamState
STREAM_STATE_CONNECTING: StreamState
STREAM_STATE_REPORTING: StreamState
STREAM_STATE_DRAINING: StreamState

class GetAgentStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetAgentStatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: AgentStatus
    def __init__(self, status: _Optional[_Union[AgentStatus, _Mapping]] = ...) -> None: ...

class WatchAgentStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchAgentStatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: AgentStatus
    def __init__(self, status: _Optional[_Union[AgentStatus, _Mapping]] = ...) -> None: ...

class AgentStatus(_message.Message):
    __slots__ = ("instance", "agent_version", "started_at", "observation", "domain", "services", "counters", "handler")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    instance: str
    agent_version: str
    started_at: _timestamp_pb2.Timestamp
    observation: _sessions_pb2.Observation
    domain: str
    services: _containers.RepeatedCompositeFieldContainer[_sessions_pb2.ServiceSessions]
    counters: _sessions_pb2.AgentCounters
    handler: HandlerConnection
    def __init__(self, instance: _Optional[str] = ..., agent_version: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., observation: _Optional[_Union[_sessions_pb2.Observation, _Mapping]] = ..., domain: _Optional[str] = ..., services: _Optional[_Iterable[_Union[_sessions_pb2.ServiceSessions, _Mapping]]] = ..., counters: _Optional[_Union[_sessions_pb2.AgentCounters, _Mapping]] = ..., handler: _Optional[_Union[HandlerConnection, _Mapping]] = ...) -> None: ...

class HandlerConnection(_message.Message):
    __slots__ = ("socket", "state", "last_status", "last_error", "streams", "handler_version", "features", "vmi", "sent", "last_ack", "heartbeat_interval", "lease", "last_status_at", "since", "polling")
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LAST_STATUS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    HANDLER_VERSION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    VMI_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    LAST_ACK_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    LAST_STATUS_AT_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    POLLING_FIELD_NUMBER: _ClassVar[int]
    socket: str
    state: StreamState
    last_status: str
    last_error: str
    streams: int
    handler_version: str
    features: _containers.RepeatedScalarFieldContainer[str]
    vmi: _sessions_pb2.VmiReference
    sent: int
    last_ack: _session_report_service_pb2.Ack
    heartbeat_interval: _duration_pb2.Duration
    lease: _duration_pb2.Duration
    last_status_at: _timestamp_pb2.Timestamp
    since: _timestamp_pb2.Timestamp
    polling: _containers.RepeatedCompositeFieldContainer[_sessions_pb2.Polling]
    def __init__(self, socket: _Optional[str] = ..., state: _Optional[_Union[StreamState, str]] = ..., last_status: _Optional[str] = ..., last_error: _Optional[str] = ..., streams: _Optional[int] = ..., handler_version: _Optional[str] = ..., features: _Optional[_Iterable[str]] = ..., vmi: _Optional[_Union[_sessions_pb2.VmiReference, _Mapping]] = ..., sent: _Optional[int] = ..., last_ack: _Optional[_Union[_session_report_service_pb2.Ack, _Mapping]] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., last_status_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., polling: _Optional[_Iterable[_Union[_sessions_pb2.Polling, _Mapping]]] = ...) -> None: ...
