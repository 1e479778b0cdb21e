"""Compares the published values of all VMIs of a namespace with what their agents reported."""

from collections.abc import Callable, Mapping
from functools import partial

from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.vmis import Vmi, service_status, told


class Overview:
    """The VMIs in the namespace of `one`."""

    def __init__(self, client: Client, one: Vmi) -> None:
        self._client = client
        self.path = one.path.rpartition("/")[0]
        self.companions_path = one.companion_path.rpartition("/")[0]

    def shown(self) -> dict[str, int | None]:
        """Return by VMI what its status shows."""
        items = self._client.get(self.path)["items"]
        return {item["metadata"]["name"]: (service_status(item) or {}).get("vncSessions", 0) for item in items}

    def told(self) -> dict[str, int | None]:
        """Return by VMI the summary of its companion; None if it is not observed."""
        found = {item["metadata"]["name"]: told(item) for item in self._client.get(self.companions_path)["items"]}
        return {name: (value[0] or 0) if value[2] == "True" else None for name, value in found.items()}

    def wait_right(self, said: Callable[[], Mapping[str, int]], timeout: float) -> None:
        """Wait until everything that is shown is what the agents reported."""
        for look in (self.shown, self.told):
            wrong, what = partial(_wrong, said, look), f"{look.__name__} is what was said"
            wait_until(wrong, lambda found: not found, what=what, timeout=timeout, interval=0.2)


def _wrong(
    said: Callable[[], Mapping[str, int]], look: Callable[[], Mapping[str, int | None]]
) -> dict[str, tuple[int, int | None]]:
    """Return what was reported and what is shown instead."""
    seen = look()
    return {name: (number, seen.get(name)) for name, number in said().items() if seen.get(name) != number}
