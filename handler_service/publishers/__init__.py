"""Where a VMI's value is published, behind one interface."""

from collections.abc import Hashable, Mapping
from typing import Protocol

from handler_service.model import DesiredStatus, Outcome, PublishedValue, VmiId


class Publisher(Protocol):
    """Reads and writes the value of VMIs. A failure is an Outcome: neither method raises one."""

    @property
    def name(self) -> str:
        """The name for logs, metrics and the debug API."""

    def detail(self, desired: DesiredStatus) -> Hashable:
        """Return what is shown beside the number of VNC sessions."""

    def services(self, desired: DesiredStatus) -> Mapping[int, Hashable]:
        """Return the other services that this publisher shows, with what is shown beside the number of each.

        None stands beside the number of a service that is not watched.
        """

    def shows_idle(self, value: PublishedValue) -> bool:
        """Return whether a reader of `value` learns that no viewer is connected."""

    async def read(self, vmi: VmiId) -> Outcome:
        """Return the current value in the outcome's `actual`."""

    async def write(self, vmi: VmiId, value: PublishedValue) -> Outcome:
        """Write `value`, and compare the answer with it."""
