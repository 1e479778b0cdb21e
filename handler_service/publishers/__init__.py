"""The places where a VMI's value is published, behind one interface."""

from collections.abc import Hashable
from typing import Protocol

from handler_service.model import DesiredStatus, Outcome, PublishedValue, VmiId


class Publisher(Protocol):
    """One place. Neither method raises for what the place answers: that is an Outcome."""

    @property
    def name(self) -> str:
        """A word for logs, metrics and the status service."""

    def detail(self, desired: DesiredStatus) -> Hashable:
        """What the place shows besides the number."""

    async def read(self, vmi: VmiId) -> Outcome:
        """What the place holds now, in the outcome's `held`."""

    async def write(self, vmi: VmiId, value: PublishedValue) -> Outcome:
        """Make the place hold `value`, and compare the answer with it."""
