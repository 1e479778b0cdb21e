"""Samples the API every ten milliseconds: the VMIs of a namespace, and their companions.

Equal consecutive responses are one `Look`.
"""

import contextlib
import dataclasses
import http.client
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.apiserver.client import ApiError, Client
from tests.apiserver.vmis import service_status, told
from tests.cluster.objects import Object
from tests.faults.record import Look

INTERVAL = 0.01
AWAY = (OSError, http.client.HTTPException, ApiError, ValueError)

Read = Callable[[Object, float, float], Look]


def of_vmi(vmi: Object, asked: float, now: float) -> Look:
    sessions = (service_status(vmi) or {}).get("vncSessions", 0)
    return Look(asked, now, asked, sessions, int(vmi["metadata"]["resourceVersion"]))


def of_companion(companion: Object, asked: float, now: float) -> Look:
    sessions, idle, observed, reason = told(companion)
    version = int(companion["metadata"]["resourceVersion"])
    return Look(asked, now, asked, sessions or 0, version, idle, observed == "True", reason)


class Recorder:
    """Samples in its own thread from enter to exit."""

    def __init__(self, client: Client, path: str, read: Read) -> None:
        """`path` is that of a collection."""
        self._client, self._path, self._read = client, path, read
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"recorder {path}", daemon=True)
        self.looks: dict[str, list[Look]] = defaultdict(list)
        self.samples = 0

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(INTERVAL):
            with contextlib.suppress(*AWAY):
                self._look()

    def _look(self) -> None:
        asked = time.monotonic()
        items = self._client.get(self._path)["items"]
        now = time.monotonic()
        self.samples += 1
        for item in items:
            look = self._read(item, asked, now)
            looks = self.looks[item["metadata"]["name"]]
            if looks and looks[-1].version == look.version:
                looks[-1] = dataclasses.replace(looks[-1], last=asked)
            else:
                looks.append(look)
