"""Derives the desired status of a VMI from what is known of its endpoints. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from handler_service.model import DesiredStatus, Reason, ServiceStatus, Unserved, Watermark
from handler_service.reports.entry import Entry, EntryState, Observed, ServiceState
from handler_service.services import OTHERS
from servicestatus import contract
from servicestatus.services import POLLED
from servicestatus.v1 import sessions_pb2 as types

_DOMAIN_ENDED: Final = Observed(True, Reason.NO_DOMAIN)
_GOODBYE: Final = Observed(False, Reason.AGENT_STOPPED, "the agent sent Goodbye")
_SILENT: Final = Observed(False, Reason.AGENT_SILENT, "no report from the agent within its lease")
_NO_AGENT: Final = Observed(False, Reason.NO_AGENT, "no agent has reported on this socket")
_LOWER_BOUND: Final = Observed(False, Reason.LOWER_BOUND)
_TOO_OLD: Final = Observed(False, Reason.NOT_WATCHED, "the VM's agent is of an older version, which cannot report it")


def desired_status(entries: Sequence[Entry], polled: Collection[int]) -> DesiredStatus:
    """Return what follows for a VMI with these endpoints, of which there is at least one.

    `polled` are the services that the agents are asked to poll.
    """
    states = [entry.services.get(types.SERVICE_VNC, ServiceState()) for entry in entries]
    sessions = _sum(states)
    observations = [_observation(entry, state) for entry, state in zip(entries, states, strict=True)]
    explanation = _explanation(observations)
    return DesiredStatus(
        sessions=sessions,
        observed=all(observation.observed for observation in observations),
        reason=explanation.reason,
        message=explanation.message,
        since=_since(states, sessions),
        synced=all(entry.state is not EntryState.WAITING for entry in entries),
        watermarks=tuple(Watermark(entry.endpoint.id, entry.stream, _sequence(entry)) for entry in entries),
        services=tuple(
            status
            for one in OTHERS
            if is_asked(one.number, polled) and (status := _service_status(entries, one.number)) is not None
        ),
    )


def finished(polled: Collection[int]) -> DesiredStatus:
    """Return what follows for a VMI whose VM has ended for good."""
    asked = (one.number for one in OTHERS if is_asked(one.number, polled))
    services = tuple(ServiceStatus(number, 0, observed=True, reason=Reason.FINISHED) for number in asked)
    return DesiredStatus(0, True, Reason.FINISHED, "", None, True, (), services)


def withheld(desired: DesiredStatus, why: Unserved) -> DesiredStatus:
    """Return `desired` without anything observed, because a pod that may run the VM is not served.

    What is not observed anyway keeps its reason, unless there are too many pods to serve.
    """
    reason, message = why.reason, why.message
    always = reason is Reason.TOO_MANY_PODS
    services = tuple(
        replace(one, observed=False, reason=reason, message=message)
        if one.observed or (always and one.reason is not Reason.NOT_WATCHED)
        else one
        for one in desired.services
    )
    if not (desired.observed or always):
        return replace(desired, services=services)
    since = desired.since if desired.sessions else None
    return replace(desired, observed=False, reason=reason, message=message, since=since, services=services)


def is_asked(service: int, polled: Collection[int]) -> bool:
    """Return whether agents are asked to report a service other than VNC: it is polled, or needs no poll."""
    return service in polled or service not in POLLED


def _service_status(entries: Sequence[Entry], service: int) -> ServiceStatus | None:
    """Return what follows for a service that the agents are asked to report; None if there is nothing to say."""
    if len(entries) == 1 and (state := entries[0].services.get(service)) is not None:  # nearly always
        return _status(service, [state], _observation(entries[0], state))
    reported = [entry.services.get(service) for entry in entries]
    if all(state is None for state in reported):
        # Where the admin has turned polling on, it is worth a write to say why that is not enough for this VM.
        too_old = service in POLLED and any(entry.has_reported for entry in entries)
        return _status(service, [ServiceState()], _TOO_OLD) if too_old else None
    observations = [_service_observation(entry, state) for entry, state in zip(entries, reported, strict=True)]
    return _status(service, [state for state in reported if state is not None], _explanation(observations))


def _status(service: int, states: list[ServiceState], explanation: Observed) -> ServiceStatus:
    sessions = _sum(states)
    return ServiceStatus(
        service=service,
        sessions=sessions,
        observed=explanation.observed and explanation.reason is not Reason.NOT_WATCHED,
        reason=explanation.reason,
        message=explanation.message,
        since=_since(states, sessions),
        sampled_every=max([one.sampled_every for one in states if one.sampled_every is not None], default=None),
    )


def _service_observation(entry: Entry, state: ServiceState | None) -> Observed:
    """Return whether an endpoint observes a service other than VNC, of which it reported `state`; None: nothing."""
    silent = entry.state in (EntryState.WAITING, EntryState.SILENT, EntryState.GOODBYE)
    return _TOO_OLD if state is None and not silent else _observation(entry, state or ServiceState())


def _sum(states: list[ServiceState]) -> int:
    # The schema of the companion has this limit too: the API server would refuse a sum above it.
    return min(sum([state.sessions for state in states]), contract.MAX_SESSIONS)


def _observation(entry: Entry, state: ServiceState) -> Observed:
    """Return whether the number of one endpoint is observed now, and why not."""
    if entry.state is EntryState.GOODBYE:
        return _DOMAIN_ENDED if entry.domain_ended else _GOODBYE
    if entry.state is EntryState.SILENT:
        return _SILENT if entry.has_reported else _NO_AGENT
    observation = state.observation or entry.observation
    if observation.observed and state.accuracy == types.ACCURACY_LOWER_BOUND:
        return _LOWER_BOUND
    return observation


def _sequence(entry: Entry) -> int:
    """Return up to which sequence the desired status follows from the reports of one endpoint.

    If an agent that observed its VM is silent or has stopped, nothing follows from its reports any more: a publisher
    that keeps a higher number has not published the agent's last report.
    """
    over = entry.state is EntryState.SILENT or (entry.state is EntryState.GOODBYE and not entry.domain_ended)
    return 0 if over and entry.observation.observed else entry.accepted


def _explanation(observations: list[Observed]) -> Observed:
    """Return the first observation that is not observed; if all are, one of an endpoint that has a domain."""
    for observation in observations:
        if not observation.observed:
            return observation
    watched = (observation for observation in observations if observation.reason is not Reason.NO_DOMAIN)
    return next(watched, observations[0])


def _since(states: list[ServiceState], sessions: int) -> float | None:
    """Return the start of the first session that is still open, or the end of the last one if none is."""
    if sessions:
        return min((state.since for state in states if state.sessions and state.since is not None), default=None)
    if any(state.since is None for state in states):
        return None
    return max((state.since for state in states if state.since is not None), default=None)
