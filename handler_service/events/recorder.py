"""Watches the status manager and has each event written when it is due.

Events are for people only: an event that cannot be written is dropped, and no other work waits for events.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from handler_service.events import policy as event_policy
from handler_service.events.policy import EventPolicy, VmiEvent
from handler_service.model import OutcomeKind, VmiId
from handler_service.status_manager import StatusManager
from servicestatus.rate_limit import TokenBucket
from servicestatus.wakeup import Wakeup

_REFUSALS: Final = (OutcomeKind.FORBIDDEN, OutcomeKind.REVERTED, OutcomeKind.PRUNED)


class EventRecorder:
    """Records the events of one handler."""

    def __init__(self, manager: StatusManager, write: Callable[[VmiEvent], Awaitable[None]]) -> None:
        """`write` must not raise when the API server rejects an event or does not answer."""
        self._manager = manager
        self._write = write
        bucket = TokenBucket(event_policy.NODE_BURST, event_policy.NODE_INTERVAL)
        self._policy = EventPolicy(bucket)
        self._wakeup = Wakeup(manager.clock)

    async def run(self) -> None:
        """Write events until cancelled."""
        self._manager.watch(self._changed)
        try:
            while True:
                for event in self._policy.take_due(self._manager.clock()):
                    await self._write(event)
                await self._wakeup.sleep(self._policy.wake_at(self._manager.clock()))
        finally:
            self._manager.unwatch(self._changed)

    def _changed(self, vmi: VmiId) -> None:
        now = self._manager.clock()
        self._policy.observe(vmi, self._manager.desired_status(vmi), now)
        self._policy.refused(vmi, self._refusal(vmi), now)
        self._wakeup.set_for(self._policy.due(vmi, now))

    def _refusal(self, vmi: VmiId) -> str:
        """Return why a publisher cannot publish the value of a VMI; empty if it can, or may still succeed."""
        for worker, state in self._manager.counting_workers(vmi):
            if state.failure in _REFUSALS:
                return f"{worker.name}: {state.failure.value}: {state.message}"
        return ""
