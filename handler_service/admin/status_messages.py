"""Builds the messages of ServiceStatusService from the handler's state."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from handler_service.model import DesiredStatus, VmiId
from handler_service.publishing.worker import PublishWorker
from handler_service.reports.entry import Entry, EntryState, Observed, ServiceState
from handler_service.status_manager import StatusManager
from servicestatus import contract
from servicestatus.text import truncate
from servicestatus.timestamps import duration, timestamp
from servicestatus.v1 import service_status_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types

_STATES: Final[Mapping[EntryState, "pb.EndpointState"]] = {
    EntryState.WAITING: pb.ENDPOINT_STATE_WAITING,
    EntryState.REPORTING: pb.ENDPOINT_STATE_REPORTING,
    EntryState.DISCONNECTED: pb.ENDPOINT_STATE_DISCONNECTED,
    EntryState.SILENT: pb.ENDPOINT_STATE_SILENT,
    EntryState.GOODBYE: pb.ENDPOINT_STATE_GOODBYE,
}
#: From the most to the least accurate.
_ACCURACIES: Final = (types.ACCURACY_EXACT, types.ACCURACY_UPPER_BOUND, types.ACCURACY_LOWER_BOUND)

#: Returns the wall time, in seconds, of a monotonic time.
Wall = Callable[[float], float]


def vmi_status(manager: StatusManager, vmi: VmiId, wall: Wall) -> pb.VmiServiceStatus:
    """Return the complete status of one VMI."""
    entries = list(manager.entries(vmi))
    desired = manager.desired_status(vmi) or manager.reported_status(vmi)
    known = () if desired is None else (one.service for one in desired.services)
    services = sorted({types.SERVICE_VNC, *known, *(service for entry in entries for service in entry.services)})
    return pb.VmiServiceStatus(
        vmi=reference(vmi),
        services=[_summary(desired, entries, service) for service in services],
        endpoints=[_endpoint(manager, entry, wall) for entry in entries],
        publications=[_publication(worker, vmi, wall) for worker in manager.workers],
    )


def reference(vmi: VmiId) -> types.VmiReference:
    """Return the reference that names a VMI."""
    return types.VmiReference(namespace=vmi.namespace, name=vmi.name, uid=vmi.uid)


def _summary(desired: DesiredStatus | None, entries: list[Entry], service: int) -> pb.ServiceSummary:
    states = [entry.services.get(service, ServiceState()) for entry in entries]
    status = desired if desired is None or service == types.SERVICE_VNC else desired.service(service)
    summary = pb.ServiceSummary(
        service=types.Service.Name(service),
        sessions=sum(state.sessions for state in states),
        pending=sum(state.pending for state in states),
        accuracy=_least_accurate(state.accuracy for state in states),
        since=None if status is None else timestamp(status.since),
    )
    if status is not None:
        summary.observed = status.observed
        if not status.observed:
            summary.message = f"{status.reason.value}: {status.message}".removesuffix(": ")
    return summary


def _least_accurate(accuracies: Iterable[int]) -> "types.Accuracy":
    ranks = [_ACCURACIES.index(accuracy) for accuracy in accuracies if accuracy in _ACCURACIES]
    return _ACCURACIES[max(ranks, default=0)]


def _endpoint(manager: StatusManager, entry: Entry, wall: Wall) -> pb.EndpointStatus:
    progress = manager.progress(entry.endpoint)
    published = progress.sequence if progress.stream == entry.stream else 0
    return pb.EndpointStatus(
        socket=entry.endpoint.socket,
        pod_uid=entry.endpoint.pod_uid,
        state=_STATES[entry.state],
        instance=entry.instance,
        agent_version=entry.agent_version,
        services=[_sessions(service, state) for service, state in sorted(entry.services.items())],
        accepted=entry.accepted,
        published=min(published, entry.accepted),
        resyncs=entry.resyncs,
        streams=entry.streams,
        unknown_items=entry.unknown_items,
        counters=types.AgentCounters(**entry.counters),
        observation=_observation(entry.observation) if entry.has_reported else None,
        last_seen=None if entry.last_seen is None else timestamp(wall(entry.last_seen)),
        lease_until=timestamp(wall(entry.lease_until)),
    )


def _observation(observed: Observed) -> types.Observation:
    return types.Observation(
        observed=observed.observed,
        reason=observed.reason.wire,
        message=observed.message,
        since=timestamp(observed.since),
    )


def _sessions(service: int, state: ServiceState) -> types.ServiceSessions:
    message = types.ServiceSessions(
        sessions=state.sessions,
        pending=state.pending,
        since=timestamp(state.since),
        observation=None if state.observation is None else _observation(state.observation),
        sampled_every=None if state.sampled_every is None else duration(state.sampled_every),
    )
    # Each number has a name in the contract: messages.py keeps any other out of the report store.
    message.service = service  # type: ignore[assignment]
    message.accuracy = state.accuracy  # type: ignore[assignment]
    for id_, session in state.identified.items():
        identified = message.identified.add(
            id=id_,
            peer_address=session.address,
            peer_port=session.port,
            started_at=timestamp(session.started_at),
        )
        identified.transport = session.transport  # type: ignore[assignment]
    return message


def _publication(worker: PublishWorker, vmi: VmiId, wall: Wall) -> pb.PublicationStatus:
    state = worker.state(vmi)
    status = pb.PublicationStatus(publisher=worker.name, state=state.state)
    status.message = truncate(state.message, contract.MAX_TEXT_BYTES)  # a path may contain bytes that are not UTF-8
    view = worker.view(vmi)
    if view is None:
        return status
    status.outcome = "" if view.last is None else view.last.kind.value
    status.writes, status.failures = view.writes, view.failures
    if view.actual is not None:
        status.observed.add(service=types.SERVICE_VNC, sessions=view.actual.sessions)
        for one in view.actual.services:
            status.observed.add(service=types.Service.Name(one.service), sessions=one.sessions)
    if view.last_write is not None:
        status.last_write.CopyFrom(timestamp(wall(view.last_write)))
    return status
