"""Counts what the server does; metrics read it. Pure."""

from collections import Counter

from injection_webhook.review import Outcome


class Stats:
    """The counters of one process."""

    def __init__(self) -> None:
        """Nothing happened yet."""
        self.reviews: Counter[Outcome] = Counter()
