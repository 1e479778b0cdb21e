"""Derives the desired status of a VMI from what is known of its endpoints. Pure."""

from collections.abc import Sequence
from typing import Final

from handler_service.model import DesiredStatus, Reason, Watermark
from handler_service.reports.entry import Entry, EntryState, Observed, ServiceState
from servicestatus import contract
from servicestatus.v1 import sessions_pb2 as types

_DOMAIN_ENDED: Final = Observed(True, Reason.NO_DOMAIN)
_GOODBYE: Final = Observed(False, Reason.AGENT_STOPPED, "the agent sent Goodbye")
_SILENT: Final = Observed(False, Reason.AGENT_SILENT, "no report from the agent within its lease")
_NO_AGENT: Final = Observed(False, Reason.NO_AGENT, "no agent has reported on this socket")
_LOWER_BOUND: Final = Observed(False, Reason.LOWER_BOUND)


def desired_status(entries: Sequence[Entry], service: int) -> DesiredStatus:
    """Return what follows for a VMI with these endpoints, of which there is at least one."""
    states = [entry.services.get(service, ServiceState()) for entry in entries]
    # The schema of the companion has this limit too: the API server would refuse a sum above it.
    sessions = min(sum(state.sessions for state in states), contract.MAX_SESSIONS)
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
    )


def _observation(entry: Entry, state: ServiceState) -> Observed:
    """Return whether the number of one endpoint is observed now, and why not."""
    if entry.state is EntryState.GOODBYE:
        return _DOMAIN_ENDED if entry.domain_ended else _GOODBYE
    if entry.state is EntryState.SILENT:
        return _SILENT if entry.has_reported else _NO_AGENT
    if entry.observation.observed and state.accuracy == types.ACCURACY_LOWER_BOUND:
        return _LOWER_BOUND
    return entry.observation


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
