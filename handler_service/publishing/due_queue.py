"""Keeps the due time of each VMI and returns the VMIs that are due. Pure.

A heap whose outdated entries are skipped: a change of a due time costs one push.
"""

import heapq
from typing import Final

from handler_service.model import VmiId
from servicestatus.rate_limit import TOLERANCE

#: Outdated entries that the heap may have before it is rebuilt.
_SLACK: Final = 1024


class DueQueue:
    """The due times of all VMIs of one publisher."""

    def __init__(self) -> None:
        """Nothing is due."""
        self._due: dict[VmiId, float] = {}
        self._heap: list[tuple[float, VmiId]] = []

    def set(self, vmi: VmiId, due: float) -> None:
        """Replace the due time of `vmi`."""
        if self._due.get(vmi) == due:
            return  # the heap has it already
        if len(self._heap) > 2 * len(self._due) + _SLACK:
            self._heap = [(other, key) for key, other in self._due.items()]
            heapq.heapify(self._heap)
        self._due[vmi] = due
        heapq.heappush(self._heap, (due, vmi))

    def discard(self, vmi: VmiId) -> None:
        """Remove the due time of `vmi`, if it has one."""
        self._due.pop(vmi, None)

    def __contains__(self, vmi: VmiId) -> bool:
        """Return whether `vmi` has a due time."""
        return vmi in self._due

    def __len__(self) -> int:
        """Return the size of the heap."""
        return len(self._heap)

    def earliest(self) -> float | None:
        """Return the first due time; None when there is none."""
        while self._heap:
            due, vmi = self._heap[0]
            if self._due.get(vmi) == due:
                return due
            heapq.heappop(self._heap)
        return None

    def take(self, now: float) -> list[tuple[float, VmiId]]:
        """Remove and return the VMIs that are due, each with its due time."""
        taken: list[tuple[float, VmiId]] = []
        # A token may be taken a moment early, and then all VMIs that wait for it must compete for it.
        while self._heap and self._heap[0][0] <= now + TOLERANCE:
            due, vmi = heapq.heappop(self._heap)
            if self._due.get(vmi) == due:
                del self._due[vmi]
                taken.append((due, vmi))
        return taken
