"""Follows a set of objects: list, then watch from there, for ever.

The loop is our own since the client's retries an expired resourceVersion with the same one
(docs/upstream/kubernetes-expired-watch.md). Rules:
- A list tells everything, so what is not in it is gone; a watch tells changes after it.
- 410 means that the server has forgotten where we are: list again, but never in a hot loop.
- A watch ends by itself after a while, and is taken up where it ended. A connection that is silent for longer than
  bookmarks need is dead, whatever TCP says.
- Trouble backs off with full jitter, since all handlers of a cluster meet a restarted API server at once.
"""

import asyncio
import contextlib
import json
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from handler_service.kube.client import KubeClient, Object
from handler_service.kube.errors import ExpiredError, KubeError, NotFoundError, ServerError, of_status
from servicestatus.backoff import Backoff, Policy
from servicestatus.clock import Uniform

log = logging.getLogger(__name__)

#: Only names, labels and versions of objects: for objects whose body is large and seldom looked at.
METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
METADATA_WATCH: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_JSON: Final = "application/json"
#: Objects in one page of a list. An object may have a megabyte, which costs some four while it is parsed, and a page is
#: parsed as a whole. A node has about 250 VMs, so its list is 25 short requests, at the start and after an outage.
PAGE: Final = 10
#: What is published is right within ten seconds of the API server's recovery, so the cap is half of that. A hundred
#: nodes with four watches each ask a server that is down 160 times a second, spread evenly.
BACKOFF: Final = Policy(first=0.5, cap=5.0)
#: A watch that was cut after so many seconds had worked: the pauses begin anew.
_PROVEN: Final = 5.0
#: A watch that ends before so many seconds without a word was not served, whatever its status said.
_SHORTEST_WATCH: Final = 1.0


class Sink(Protocol):
    """Who is told. Objects are those of the server, untouched."""

    def listed(self, objects: list[Object]) -> None:
        """All there are, now."""

    def changed(self, object_: Object) -> None:
        """One was added or modified."""

    def deleted(self, object_: Object) -> None:
        """One is gone, or no longer selected."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects."""

    #: Such as `/apis/kubevirt.io/v1/virtualmachineinstances`.
    path: str
    #: labelSelector, fieldSelector.
    query: Mapping[str, str] = field(default_factory=dict)
    metadata_only: bool = False
    #: Objects in one page of a list.
    page: int = PAGE
    #: What a 404 means, for people.
    missing: str = ""
    #: Returns what the sink needs of an object. A list is held until its last page has come, so it is applied to each
    #: page at once.
    keep: Callable[[Object], Object] = lambda object_: object_


class Reflector:
    """One loop for one selection."""

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
        """A watch is renewed after about `watch_seconds`; a silent one is given up not much later.

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
        self._tell_recovered = recovered
        self._proven = proven
        self._uniform = uniform
        self._backoff = Backoff(uniform)
        self._opened = float("inf")
        self._renewing = False
        # Of the watch that is open: a moment that never comes, unless renew() asks for it.
        self._limit: asyncio.Timeout | None = None
        #: What is followed, and lists and watches so far, for metrics.
        self.resource = selection.path.rpartition("/")[2]
        self.lists = 0
        self.watches = 0

    def renew(self) -> None:
        """List again, now: what a watch has shown lately may be wrong."""
        self._renewing = True
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    @property
    def failing(self) -> bool:
        """Whether the last try failed: what is known may be out of date."""
        return self._failing

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._round()
            except KubeError as error:
                self._tell(error)
                await asyncio.sleep(self._pause(error))
            else:
                self._backoff.reset()
                self._recovered()

    async def _round(self) -> None:
        """One watch, with the list that it needs; returns when the watch ends in good order."""
        try:
            if not self._version or self._renewing:
                self._renewing = False
                await self._list()
                self._recovered()
            if self._renewing:
                return  # it was asked for while the list was under way
            with contextlib.suppress(TimeoutError):  # of renew(); any other is a KubeError
                async with asyncio.timeout(None) as self._limit:
                    await self._watch()
        except ExpiredError:
            self._version = ""
            raise
        finally:
            self._limit = None

    async def _list(self) -> None:
        objects: list[Object] = []
        query = {**self._selection.query, "limit": str(self._selection.page)}
        while True:
            accept = METADATA_ONLY if self._selection.metadata_only else _JSON
            page, metadata = await self._client.get_page(self._selection.path, query, accept, self._selection.keep)
            objects += page
            if not metadata.get("continue"):
                break
            query["continue"] = metadata["continue"]
        self.lists += 1
        self._version = str(metadata.get("resourceVersion", ""))
        if not self._version:
            raise ServerError(f"{self._selection.path}: the list has no resourceVersion")
        self._sink.listed(objects)

    async def _watch(self) -> None:
        # Spread, so that the watches of a cluster do not end together for ever after one restart.
        seconds = self._watch_seconds * self._uniform(0.8, 1.2)
        query = {
            **self._selection.query,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        accept = METADATA_WATCH if self._selection.metadata_only else _JSON
        self.watches += 1
        async with self._client.stream(self._selection.path, query, accept, idle=seconds + 5) as lines:
            self._recovered()
            self._opened, received = _now(), False
            async for line in lines:
                self._event(line)
                received = True
        if not received and _now() < self._opened + _SHORTEST_WATCH:
            raise ServerError(f"{self._selection.path}: the watch ended as soon as it had begun")

    def _event(self, line: bytes) -> None:
        try:
            event: dict[str, Any] = json.loads(line)
            kind, object_ = event["type"], event["object"]
            if kind == "ERROR":
                raise of_status(int(object_.get("code", 500)), object_)
            self._version = str(object_["metadata"]["resourceVersion"])
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ServerError(f"{self._selection.path}: an event makes no sense") from error
        if kind in ("ADDED", "MODIFIED"):
            self._sink.changed(object_)
        elif kind == "DELETED":
            self._sink.deleted(object_)

    def _tell(self, error: KubeError) -> None:
        news = logging.INFO if isinstance(error, ExpiredError) else logging.WARNING  # a server may always forget
        level = logging.DEBUG if self._failing else news
        cause = f"{self._selection.missing}: {error}" if isinstance(error, NotFoundError) else str(error)
        log.log(level, "%s cannot be followed: %s; retrying", self._selection.path, cause)
        if not self._failing:
            self._failed_at = _now()
        self._failing = True

    def _pause(self, error: KubeError) -> float:
        """Return the seconds until the next try. Where watches are cut again and again, each has worked in between."""
        if _now() >= self._opened + self._proven:
            self._backoff.reset()
        self._opened = float("inf")
        return (error.retry_after or 0.0) + self._backoff.pause(BACKOFF)

    def _recovered(self) -> None:
        if self._failing:
            self._failing = False
            self.outage = _now() - self._failed_at
            log.info("%s is followed again", self._selection.path)
            self._tell_recovered()


def _now() -> float:
    return asyncio.get_running_loop().time()
