import datetime

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

class EndpointState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENDPOINT_STATE_UNSPECIFIED: _ClassVar[EndpointState]
    ENDPOINT_STATE_WAITING: _ClassVar[EndpointState]
    ENDPOINT_STATE_REPORTING: _ClassVar[EndpointState]
    ENDPOINT_STATE_DISCONNECTED: _ClassVar[EndpointState]
    ENDPOINT_STATE_SILENT: _ClassVar[EndpointState]
    ENDPOINT_STATE_GOODBYE: _ClassVar[EndpointState]
ENDPOINT_STATE_UNSPECIFIED: EndpointState
ENDPOINT_STATE_WAITING: EndpointState
ENDPOINT_STATE_REPORTING: EndpointState
ENDPOINT_STATE_DISCONNECTED: EndpointState
ENDPOINT_STATE_SILENT: EndpointState
ENDPOINT_STATE_GOODBYE: EndpointState

class GetServiceStatusRequest(_message.Message):
    __slots__ = ("namespace", "name")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    name: str
    def __init__(self, namespace: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class GetServiceStatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: VmiServiceStatus
    def __init__(self, status: _Optional[_Union[VmiServiceStatus, _Mapping]] = ...) -> None: ...

class ListServiceStatusesRequest(_message.Message):
    __slots__ = ("namespace",)
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    def __init__(self, namespace: _Optional[str] = ...) -> None: ...

class ListServiceStatusesResponse(_message.Message):
    __slots__ = ("statuses",)
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    statuses: _containers.RepeatedCompositeFieldContainer[VmiServiceStatus]
    def __init__(self, statuses: _Optional[_Iterable[_Union[VmiServiceStatus, _Mapping]]] = ...) -> None: ...

class WatchServiceStatusesRequest(_message.Message):
    __slots__ = ("namespace",)
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    def __init__(self, namespace: _Optional[str] = ...) -> None: ...

class WatchServiceStatusesResponse(_message.Message):
    __slots__ = ("status", "removed")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    status: VmiServiceStatus
    removed: bool
    def __init__(self, status: _Optional[_Union[VmiServiceStatus, _Mapping]] = ..., removed: _Optional[bool] = ...) -> None: ...

class VmiServiceStatus(_message.Message):
    __slots__ = ("vmi", "services", "endpoints", "publications")
    VMI_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    PUBLICATIONS_FIELD_NUMBER: _ClassVar[int]
    vmi: _sessions_pb2.VmiReference
    services: _containers.RepeatedCompositeFieldContainer[ServiceSummary]
    endpoints: _containers.RepeatedCompositeFieldContainer[EndpointStatus]
    publications: _containers.RepeatedCompositeFieldContainer[PublicationStatus]
    def __init__(self, vmi: _Optional[_Union[_sessions_pb2.VmiReference, _Mapping]] = ..., services: _Optional[_Iterable[_Union[ServiceSummary, _Mapping]]] = ..., endpoints: _Optional[_Iterable[_Union[EndpointStatus, _Mapping]]] = ..., publications: _Optional[_Iterable[_Union[PublicationStatus, _Mapping]]] = ...) -> None: ...

class ServiceSummary(_message.Message):
    __slots__ = ("service", "sessions", "pending", "observed", "message", "accuracy", "since")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    service: _sessions_pb2.Service
    sessions: int
    pending: int
    observed: bool
    message: str
    accuracy: _sessions_pb2.Accuracy
    since: _timestamp_pb2.Timestamp
    def __init__(self, service: _Optional[_Union[_sessions_pb2.Service, str]] = ..., sessions: _Optional[int] = ..., pending: _Optional[int] = ..., observed: _Optional[bool] = ..., message: _Optional[str] = ..., accuracy: _Optional[_Union[_sessions_pb2.Accuracy, str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class EndpointStatus(_message.Message):
    __slots__ = ("socket", "pod_uid", "state", "instance", "agent_version", "observation", "services", "accepted", "published", "last_seen", "lease_until", "resyncs", "streams", "unknown_items", "counters")
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    LEASE_UNTIL_FIELD_NUMBER: _ClassVar[int]
    RESYNCS_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ITEMS_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    socket: str
    pod_uid: str
    state: EndpointState
    instance: str
    agent_version: str
    observation: _sessions_pb2.Observation
    services: _containers.RepeatedCompositeFieldContainer[_sessions_pb2.ServiceSessions]
    accepted: int
    published: int
    last_seen: _timestamp_pb2.Timestamp
    lease_until: _timestamp_pb2.Timestamp
    resyncs: int
    streams: int
    unknown_items: int
    counters: _sessions_pb2.AgentCounters
    def __init__(self, socket: _Optional[str] = ..., pod_uid: _Optional[str] = ..., state: _Optional[_Union[EndpointState, str]] = ..., instance: _Optional[str] = ..., agent_version: _Optional[str] = ..., observation: _Optional[_Union[_sessions_pb2.Observation, _Mapping]] = ..., services: _Optional[_Iterable[_Union[_sessions_pb2.ServiceSessions, _Mapping]]] = ..., accepted: _Optional[int] = ..., published: _Optional[int] = ..., last_seen: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lease_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resyncs: _Optional[int] = ..., streams: _Optional[int] = ..., unknown_items: _Optional[int] = ..., counters: _Optional[_Union[_sessions_pb2.AgentCounters, _Mapping]] = ...) -> None: ...

class PublicationStatus(_message.Message):
    __slots__ = ("publisher", "state", "outcome", "message", "observed", "last_write", "writes", "failures")
    PUBLISHER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    LAST_WRITE_FIELD_NUMBER: _ClassVar[int]
    WRITES_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    publisher: str
    state: _session_report_service_pb2.PublishState
    outcome: str
    message: str
    observed: _containers.RepeatedCompositeFieldContainer[PublishedSessions]
    last_write: _timestamp_pb2.Timestamp
    writes: int
    failures: int
    def __init__(self, publisher: _Optional[str] = ..., state: _Optional[_Union[_session_report_service_pb2.PublishState, str]] = ..., outcome: _Optional[str] = ..., message: _Optional[str] = ..., observed: _Optional[_Iterable[_Union[PublishedSessions, _Mapping]]] = ..., last_write: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., writes: _Optional[int] = ..., failures: _Optional[int] = ...) -> None: ...

class PublishedSessions(_message.Message):
    __slots__ = ("service", "sessions")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    service: _sessions_pb2.Service
    sessions: int
    def __init__(self, service: _Optional[_Union[_sessions_pb2.Service, str]] = ..., sessions: _Optional[int] = ...) -> None: ...
