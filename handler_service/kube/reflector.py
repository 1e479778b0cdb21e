"""Follows a set of objects: lists them, watches for changes from there, and repeats both without a limit.

The official client's own loop is not used, because it retries an expired resourceVersion with the same one
(docs/upstream/kubernetes-expired-watch.md). Rules:
- A list is complete, so an object that is not in it was deleted. A watch reports the changes after the list.
- 410 means that the server no longer keeps the resourceVersion: list again, but never in a hot loop.
- A watch ends after some time and resumes where it ended. A connection that is silent for longer than a watch lasts is
  dead, even if TCP reports no error.
- Errors back off with full jitter, because all handlers of a cluster reconnect to a restarted API server at once.
"""

import asyncio
import contextlib
import json
import logging
import random
from collections.abc import Callable
from typing import Any, Final, Protocol

from handler_service.kube.client import KubeClient, Object
from handler_service.kube.errors import ExpiredError, KubeError, NotFoundError, ServerError, of_status
from handler_service.kube.listing import JSON, Selection, list_all
from servicestatus.backoff import Backoff, Policy
from servicestatus.clock import Uniform

log = logging.getLogger(__name__)

#: As listing.METADATA_ONLY, for each object of a watch.
METADATA_WATCH: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
#: Values must be correct within 10 s of the API server's recovery, so the cap is half of that. A hundred nodes with
#: four watches each send 160 requests per second, evenly spread, to a server that is down.
BACKOFF: Final = Policy(first=0.5, cap=5.0)
#: A watch that was cut after so many seconds had worked, so the backoff starts again from its first pause.
_PROVEN: Final = 5.0
#: A watch that ends sooner, in seconds, and without an event was not served, even if its status was 200.
_SHORTEST_WATCH: Final = 1.0


class Sink(Protocol):
    """Receives the objects, as the server sent them."""

    def listed(self, objects: list[Object]) -> None:
        """Receive all objects that exist now."""

    def changed(self, object_: Object) -> None:
        """Receive an object that was added or modified."""

    def deleted(self, object_: Object) -> None:
        """Receive an object that was deleted or is no longer selected."""


class Reflector:
    """Runs the loop for one selection."""

    def __init__(
        self,
        client: KubeClient,
        selection: Selection,
        sink: Sink,
        watch_seconds: float,
        *,
        recovered: Callable[[], None] = lambda: None,
        proven: float = _PROVEN,
        uniform: Uniform = random.uniform,
    ) -> None:
        """A watch is renewed after about `watch_seconds`; a silent one is dropped 5 s later.

        `recovered` is called when the server answers again. A watch that lasted for `proven` seconds has worked.
        """
        self._client = client
        self._selection = selection
        self._sink = sink
        self._watch_seconds = watch_seconds
        self._version = ""
        self._failing = False
        self._failed_at = 0.0
        #: Seconds from the first failure to the recovery of the last outage.
        self.outage = 0.0
        self._on_recovered = recovered
        self._proven = proven
        self._uniform = uniform
        self._backoff = Backoff(uniform)
        self._opened = float("inf")
        self._renewing = False
        self._awaits_list = False
        # The end of the open watch: never, unless renew() sets a time.
        self._limit: asyncio.Timeout | None = None
        #: For metrics: the resource, and the numbers of lists and watches so far.
        self.resource = selection.path.rpartition("/")[2]
        self.lists = 0
        self.watches = 0

    def renew(self) -> None:
        """List again now, because recent events of the watch may be wrong."""
        self._renewing = self._awaits_list = True
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""
        return self._failing

    @property
    def stale(self) -> bool:
        """Whether the known objects may be stale: the last try failed, or the list that was asked for is missing."""
        return self._failing or self._awaits_list

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._round()
            except KubeError as error:
                self._log_failure(error)
                await asyncio.sleep(self._pause(error))
            else:
                self._backoff.reset()
                self._recovered()

    async def _round(self) -> None:
        """Run one watch, with the list that it needs; return when the watch ends without an error."""
        try:
            if not self._version or self._renewing:
                self._renewing = False
                await self._list()
                self._recovered()
            if self._renewing:
                return  # renew() was called while the list was in flight
            with contextlib.suppress(TimeoutError):  # caused by renew(); any other timeout is a KubeError
                async with asyncio.timeout(None) as self._limit:
                    await self._watch()
        except ExpiredError:
            self._version = ""
            raise
        finally:
            self._limit = None

    async def _list(self) -> None:
        objects, self._version = await list_all(self._client, self._selection)
        self.lists += 1
        self._awaits_list = self._renewing
        self._sink.listed(objects)

    async def _watch(self) -> None:
        # Spread, so that after one restart the watches of a cluster do not all end at the same time.
        seconds = self._watch_seconds * self._uniform(0.8, 1.2)
        query = {
            **self._selection.query,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        accept = METADATA_WATCH if self._selection.metadata_only else JSON
        self.watches += 1
        async with self._client.stream(self._selection.path, query, accept, idle=seconds + 5) as lines:
            self._recovered()
            self._opened, received = _now(), False
            async for line in lines:
                self._event(line)
                received = True
        if not received and _now() < self._opened + _SHORTEST_WATCH:
            raise ServerError(f"{self._selection.path}: the watch ended at once and without an event")

    def _event(self, line: bytes) -> None:
        try:
            event: dict[str, Any] = json.loads(line)
            kind, object_ = event["type"], event["object"]
            if kind == "ERROR":
                raise of_status(int(object_.get("code", 500)), object_)
            self._version = str(object_["metadata"]["resourceVersion"])
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ServerError(f"{self._selection.path}: an event is malformed") from error
        if kind in ("ADDED", "MODIFIED"):
            self._sink.changed(object_)
        elif kind == "DELETED":
            self._sink.deleted(object_)

    def _log_failure(self, error: KubeError) -> None:
        # The server may drop old versions at any time, so 410 is no reason for a warning.
        first = logging.INFO if isinstance(error, ExpiredError) else logging.WARNING
        level = logging.DEBUG if self._failing else first
        cause = f"{self._selection.missing}: {error}" if isinstance(error, NotFoundError) else str(error)
        log.log(level, "%s cannot be followed: %s; retrying", self._selection.path, cause)
        if not self._failing:
            self._failed_at = _now()
        self._failing = True

    def _pause(self, error: KubeError) -> float:
        """Return the seconds until the next try. The backoff is reset if the watch had worked before it was cut."""
        if _now() >= self._opened + self._proven:
            self._backoff.reset()
        self._opened = float("inf")
        return (error.retry_after or 0.0) + self._backoff.pause(BACKOFF)

    def _recovered(self) -> None:
        if self._failing:
            self._failing = False
            self.outage = _now() - self._failed_at
            log.info("%s is followed again", self._selection.path)
            self._on_recovered()


def _now() -> float:
    return asyncio.get_running_loop().time()
