"""Follows the hub, and has each announcement written when it is due.

Events are a courtesy to people: one that cannot be written is dropped, and nothing ever waits for them.
"""

from collections.abc import Awaitable, Callable

from handler_service.events import policy as announcements
from handler_service.events.policy import Announcement, Announcements
from handler_service.model import OutcomeKind, VmiId
from handler_service.publishing.worker import Publication
from handler_service.status_manager import Hub
from handler_service.wakeup import Alarm
from servicestatus.rate_limit import TokenBucket

_REFUSALS = (OutcomeKind.FORBIDDEN, OutcomeKind.REVERTED, OutcomeKind.PRUNED)


class Announcer:
    """Of one handler."""

    def __init__(self, hub: Hub, write: Callable[[Announcement], Awaitable[None]]) -> None:
        """`write` raises for nothing that the place of events answers."""
        self._hub = hub
        self._write = write
        bucket = TokenBucket(announcements.NODE_BURST, announcements.NODE_INTERVAL)
        self._announcements = Announcements(bucket)
        self._alarm = Alarm(hub.clock)

    async def run(self) -> None:
        """Tell until cancelled."""
        self._hub.watch(self._changed)
        try:
            while True:
                for announcement in self._announcements.take_due(self._hub.clock()):
                    await self._write(announcement)
                await self._alarm.sleep(self._announcements.wake_at(self._hub.clock()))
        finally:
            self._hub.unwatch(self._changed)

    def _changed(self, vmi: VmiId) -> None:
        now = self._hub.clock()
        self._announcements.observe(vmi, self._hub.standing(vmi), now)
        self._announcements.refused(vmi, self._refusal(vmi), now)
        self._alarm.ring_for(self._announcements.due(vmi, now))

    def _refusal(self, vmi: VmiId) -> str:
        """Why a place does not take the value of a VMI; empty where it does, or may yet."""
        for publication in self._hub.publications:
            problem = self._problem(publication, vmi)
            if problem:
                return problem
        return ""

    def _problem(self, publication: Publication, vmi: VmiId) -> str:
        view = publication.clockwork.view(vmi)
        if view is None or view.satisfied or view.last is None or view.last.kind not in _REFUSALS:
            return ""
        if view.last.kind is OutcomeKind.PRUNED and len(self._hub.publications) > 1:
            return ""  # as on every stock KubeVirt: the other place is the truth
        return f"{publication.publisher.name}: {view.last.kind.value}: {view.last.message}"
