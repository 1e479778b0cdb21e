"""Holds the number of sessions of a service other than VNC, and whether this number is observed.

What watches the service sets both. The totals are derived from the numbers, so that a Delta is exact whichever program
counts: started_total - ended_total == sessions.
"""

from typing import Final

from launcher_agent.sessions.report import Observation, ServiceReport
from launcher_agent.sessions.view import Accuracy, TableView
from servicestatus import contract
from servicestatus.reasons import Reason
from servicestatus.v1.sessions_pb2 import Service

#: Reasons about VNC viewers. With any other reason nothing is known about any service, or all of them are zero.
_OF_VNC: Final = frozenset({Reason.WATCHING, Reason.RECONCILING, Reason.LOWER_BOUND, Reason.UNOBSERVABLE_LISTENER})


class ServiceState:
    """The sessions of one service."""

    def __init__(self, service: Service, reason: Reason, message: str, now: float) -> None:
        """`service` is its number in the contract; `now` is seconds since the epoch."""
        self.service = service
        self.view = TableView()
        self.observation = Observation(reason, message, now)
        #: Seconds between two polls; None if events report the sessions.
        self.sampled_every: float | None = None

    def count(self, sessions: int, pending: int, now: float, accuracy: Accuracy = Accuracy.EXACT) -> None:
        """Set the number of sessions."""
        sessions = min(sessions, contract.MAX_SESSIONS)
        before = self.view
        since = before.since
        if since is None or (before.sessions > 0) != (sessions > 0):
            since = now
        self.view = TableView(
            sessions=sessions,
            pending=min(pending, contract.MAX_SESSIONS),
            accuracy=accuracy,
            since=None if accuracy is Accuracy.LOWER_BOUND else since,
            started_total=before.started_total + max(0, sessions - before.sessions),
            ended_total=before.ended_total + max(0, before.sessions - sessions),
        )

    def observe(self, reason: Reason, message: str, now: float) -> None:
        """Record whether the number is observed. One that was not may have changed meanwhile, so `since` is unknown."""
        if not reason.observed:
            self.view = TableView(
                sessions=self.view.sessions,
                pending=self.view.pending,
                accuracy=self.view.accuracy,
                started_total=self.view.started_total,
                ended_total=self.view.ended_total,
            )
        since = self.observation.since if reason is self.observation.reason else now
        self.observation = Observation(reason, message, since)

    def report(self, overall: Observation) -> ServiceReport:
        """Return what is reported: if libvirt or the domain is away, that holds for each service that is watched."""
        own = self.observation
        holds = own if overall.reason in _OF_VNC or own.reason is Reason.NOT_WATCHED else overall
        return ServiceReport(self.service, self.view, holds, self.sampled_every)
