import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from servicestatus.v1 import sessions_pb2 as _sessions_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GoodbyeReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GOODBYE_REASON_UNSPECIFIED: _ClassVar[GoodbyeReason]
    GOODBYE_REASON_SHUTDOWN: _ClassVar[GoodbyeReason]

class PublishState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PUBLISH_STATE_UNSPECIFIED: _ClassVar[PublishState]
    PUBLISH_STATE_PENDING: _ClassVar[PublishState]
    PUBLISH_STATE_PUBLISHED: _ClassVar[PublishState]
    PUBLISH_STATE_FAILING: _ClassVar[PublishState]
    PUBLISH_STATE_NOT_OWNER: _ClassVar[PublishState]
    PUBLISH_STATE_PRUNED: _ClassVar[PublishState]

class ResyncReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESYNC_REASON_UNSPECIFIED: _ClassVar[ResyncReason]
    RESYNC_REASON_SEQUENCE_GAP: _ClassVar[ResyncReason]
    RESYNC_REASON_COUNT_MISMATCH: _ClassVar[ResyncReason]
    RESYNC_REASON_NO_SNAPSHOT: _ClassVar[ResyncReason]
GOODBYE_REASON_UNSPECIFIED: GoodbyeReason
GOODBYE_REASON_SHUTDOWN: GoodbyeReason
PUBLISH_STATE_UNSPECIFIED: PublishState
PUBLISH_STATE_PENDING: PublishState
PUBLISH_STATE_PUBLISHED: PublishState
PUBLISH_STATE_FAILING: PublishState
PUBLISH_STATE_NOT_OWNER: PublishState
PUBLISH_STATE_PRUNED: PublishState
RESYNC_REASON_UNSPECIFIED: ResyncReason
RESYNC_REASON_SEQUENCE_GAP: ResyncReason
RESYNC_REASON_COUNT_MISMATCH: ResyncReason
RESYNC_REASON_NO_SNAPSHOT: ResyncReason

class ReportSessionsRequest(_message.Message):
    __slots__ = ("hello", "snapshot", "delta", "heartbeat", "goodbye")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    snapshot: Snapshot
    delta: Delta
    heartbeat: Heartbeat
    goodbye: Goodbye
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., snapshot: _Optional[_Union[Snapshot, _Mapping]] = ..., delta: _Optional[_Union[Delta, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ...) -> None: ...

class ReportSessionsResponse(_message.Message):
    __slots__ = ("welcome", "ack", "resync_request", "drain_notice")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    RESYNC_REQUEST_FIELD_NUMBER: _ClassVar[int]
    DRAIN_NOTICE_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    ack: Ack
    resync_request: ResyncRequest
    drain_notice: DrainNotice
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., resync_request: _Optional[_Union[ResyncRequest, _Mapping]] = ..., drain_notice: _Optional[_Union[DrainNotice, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("instance", "agent_version", "features", "vmi")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    VMI_FIELD_NUMBER: _ClassVar[int]
    instance: str
    agent_version: str
    features: _containers.RepeatedScalarFieldContainer[str]
    vmi: _sessions_pb2.VmiReference
    def __init__(self, instance: _Optional[str] = ..., agent_version: _Optional[str] = ..., features: _Optional[_Iterable[str]] = ..., vmi: _Optional[_Union[_sessions_pb2.VmiReference, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("handler_version", "features", "vmi", "heartbeat_interval", "lease", "window", "delta_burst", "delta_interval", "polling")
    HANDLER_VERSION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    VMI_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    DELTA_BURST_FIELD_NUMBER: _ClassVar[int]
    DELTA_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    POLLING_FIELD_NUMBER: _ClassVar[int]
    handler_version: str
    features: _containers.RepeatedScalarFieldContainer[str]
    vmi: _sessions_pb2.VmiReference
    heartbeat_interval: _duration_pb2.Duration
    lease: _duration_pb2.Duration
    window: int
    delta_burst: int
    delta_interval: _duration_pb2.Duration
    polling: _containers.RepeatedCompositeFieldContainer[_sessions_pb2.Polling]
    def __init__(self, handler_version: _Optional[str] = ..., features: _Optional[_Iterable[str]] = ..., vmi: _Optional[_Union[_sessions_pb2.VmiReference, _Mapping]] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., window: _Optional[int] = ..., delta_burst: _Optional[int] = ..., delta_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., polling: _Optional[_Iterable[_Union[_sessions_pb2.Polling, _Mapping]]] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("sequence", "observation", "services", "counters")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    observation: _sessions_pb2.Observation
    services: _containers.RepeatedCompositeFieldContainer[_sessions_pb2.ServiceSessions]
    counters: _sessions_pb2.AgentCounters
    def __init__(self, sequence: _Optional[int] = ..., observation: _Optional[_Union[_sessions_pb2.Observation, _Mapping]] = ..., services: _Optional[_Iterable[_Union[_sessions_pb2.ServiceSessions, _Mapping]]] = ..., counters: _Optional[_Union[_sessions_pb2.AgentCounters, _Mapping]] = ...) -> None: ...

class Delta(_message.Message):
    __slots__ = ("sequence", "observation", "services", "counters")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    observation: _sessions_pb2.Observation
    services: _containers.RepeatedCompositeFieldContainer[ServiceDelta]
    counters: _sessions_pb2.AgentCounters
    def __init__(self, sequence: _Optional[int] = ..., observation: _Optional[_Union[_sessions_pb2.Observation, _Mapping]] = ..., services: _Optional[_Iterable[_Union[ServiceDelta, _Mapping]]] = ..., counters: _Optional[_Union[_sessions_pb2.AgentCounters, _Mapping]] = ...) -> None: ...

class ServiceDelta(_message.Message):
    __slots__ = ("service", "started", "ended", "sessions", "pending", "accuracy", "since", "opened", "closed", "observation", "sampled_every")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    SAMPLED_EVERY_FIELD_NUMBER: _ClassVar[int]
    service: _sessions_pb2.Service
    started: int
    ended: int
    sessions: int
    pending: int
    accuracy: _sessions_pb2.Accuracy
    since: _timestamp_pb2.Timestamp
    opened: _containers.RepeatedCompositeFieldContainer[_sessions_pb2.IdentifiedSession]
    closed: _containers.RepeatedScalarFieldContainer[int]
    observation: _sessions_pb2.Observation
    sampled_every: _duration_pb2.Duration
    def __init__(self, service: _Optional[_Union[_sessions_pb2.Service, str]] = ..., started: _Optional[int] = ..., ended: _Optional[int] = ..., sessions: _Optional[int] = ..., pending: _Optional[int] = ..., accuracy: _Optional[_Union[_sessions_pb2.Accuracy, str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., opened: _Optional[_Iterable[_Union[_sessions_pb2.IdentifiedSession, _Mapping]]] = ..., closed: _Optional[_Iterable[int]] = ..., observation: _Optional[_Union[_sessions_pb2.Observation, _Mapping]] = ..., sampled_every: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("sequence", "counters")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    counters: _sessions_pb2.AgentCounters
    def __init__(self, sequence: _Optional[int] = ..., counters: _Optional[_Union[_sessions_pb2.AgentCounters, _Mapping]] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("reason", "domain_ended")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_ENDED_FIELD_NUMBER: _ClassVar[int]
    reason: GoodbyeReason
    domain_ended: bool
    def __init__(self, reason: _Optional[_Union[GoodbyeReason, str]] = ..., domain_ended: _Optional[bool] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("accepted", "published", "state", "message")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    accepted: int
    published: int
    state: PublishState
    message: str
    def __init__(self, accepted: _Optional[int] = ..., published: _Optional[int] = ..., state: _Optional[_Union[PublishState, str]] = ..., message: _Optional[str] = ...) -> None: ...

class ResyncRequest(_message.Message):
    __slots__ = ("accepted", "reason")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    accepted: int
    reason: ResyncReason
    def __init__(self, accepted: _Optional[int] = ..., reason: _Optional[_Union[ResyncReason, str]] = ...) -> None: ...

class DrainNotice(_message.Message):
    __slots__ = ("grace",)
    GRACE_FIELD_NUMBER: _ClassVar[int]
    grace: _duration_pb2.Duration
    def __init__(self, grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
