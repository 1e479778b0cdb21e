"""Publishes into a directory of VMI documents: `DIR/NAMESPACE/NAME.json`. No cluster is needed.

A document shows what a companion shows. Each one bears the time of its last renewal and how long it holds from then on,
so that a reader recognises the value of a handler that died: the renewal stops, and the document expires after 30 s.
A handler that stops on SIGTERM marks its documents as not observed.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from handler_service.kube import conditions, service_conditions
from handler_service.kube.conditions import Detail, ServiceDetail
from handler_service.model import DesiredStatus, Outcome, OutcomeKind, PublishedValue, VmiId
from handler_service.publishers import vmi_document
from handler_service.publishers.vmi_document import DocumentError
from servicestatus import logs

log = logging.getLogger(__name__)

#: Seconds. A document expires after three renewals that did not come: the times of a node's Lease in a cluster.
RENEW_INTERVAL: Final = 10.0
LEASE: Final = 30.0
#: The reason of the condition Observed after the handler has stopped.
HANDLER_STOPPED: Final = "HandlerStopped"
_STOPPED: Final[Mapping[str, Any]] = {
    "observed": False,
    "reason": HANDLER_STOPPED,
    "message": "The handler has stopped; the number shown is the last one known.",
}


class _Document:
    """One VMI's document, and the value that this handler vouches for."""

    def __init__(self, vmi: VmiId, path: Path) -> None:
        self.vmi = vmi
        self.path = path
        #: Serializes the threads that write the file.
        self.lock = threading.Lock()
        #: None: nothing was written yet, or the last write failed.
        self.value: PublishedValue | None = None
        #: The failure of the last renewal, so that each one is logged once.
        self.problem: str | None = None


class FilePublisher:
    """Writes VMI documents, renews them while it is entered, and marks them as not observed at the end."""

    name = "file"

    def __init__(
        self, directory: Path, wall: Callable[[], float] = time.time, renew_interval: float = RENEW_INTERVAL
    ) -> None:
        """`directory` exists and may be written."""
        self._directory = directory
        self._wall = wall
        self._renew_interval = renew_interval
        self._documents: dict[VmiId, _Document] = {}
        self._stopped = False
        self._renewal: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start the renewal."""
        self._renewal = asyncio.create_task(self._renew_until_cancelled(), name="renew documents")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Mark all documents. A write that is still under way, because the disk does not answer, does not undo that."""
        self._stopped = True
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        await asyncio.to_thread(self._mark_all)

    def detail(self, desired: DesiredStatus) -> Hashable:
        """Return the conditions and times to show."""
        return conditions.detail(desired, node="")

    def services(self, desired: DesiredStatus) -> Mapping[int, Hashable]:
        """Return the condition of each service."""
        return service_conditions.details(desired)

    def shows_idle(self, value: PublishedValue) -> bool:
        """Return whether the condition Idle is True."""
        return conditions.shows_idle(value)

    async def read(self, vmi: VmiId) -> Outcome:
        """Return what the document shows. A value that this handler has not written is never taken for the desired."""
        return await asyncio.to_thread(self._read, self._document(vmi))

    async def write(self, vmi: VmiId, value: PublishedValue) -> Outcome:
        """Replace the document."""
        return await asyncio.to_thread(self._write, self._document(vmi), value)

    def path(self, vmi: VmiId) -> Path:
        """Return the path of the document of `vmi`."""
        return self._directory / vmi.namespace / f"{vmi.name}.json"

    async def renew(self) -> None:
        """Renew all documents once."""
        await asyncio.to_thread(self._renew_all)

    # --- in the event loop ---

    def _document(self, vmi: VmiId) -> _Document:
        return self._documents.setdefault(vmi, _Document(vmi, self.path(vmi)))

    async def _renew_until_cancelled(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(self._renew_interval)
            try:
                await self.renew()
            except (
                Exception
            ):  # the documents must not expire because of one failure, such as a thread that cannot start
                log.log(logging.DEBUG if failing else logging.ERROR, "the documents are not renewed; trying again in"
                        " %g s", self._renew_interval, exc_info=True)  # fmt: skip
                failing = True
            else:
                failing = False

    # --- in threads ---

    def _read(self, document: _Document) -> Outcome:
        with document.lock:
            try:
                shown = vmi_document.shown_value(vmi_document.load(document.path))
            except (DocumentError, OSError) as error:
                return _failed(error)
            # A former handler's document is written again, even if it shows the desired value: this handler renews it.
            return Outcome(OutcomeKind.UNCHANGED, shown if document.value else replace(shown, detail=None))

    def _write(self, document: _Document, value: PublishedValue) -> Outcome:
        with document.lock:
            if self._stopped:
                return Outcome(OutcomeKind.ERROR, message="the handler stops")
            document.value = None
            try:
                self._replace(document, value)
            except (DocumentError, OSError) as error:
                return _failed(error)
            document.value = value
            return Outcome(OutcomeKind.WRITTEN, value)

    def _renew_all(self) -> None:
        for document in list(self._documents.values()):
            with document.lock:
                if self._stopped:
                    return
                if document.value is not None:
                    self._renew(document, document.value)

    def _mark_all(self) -> None:
        for document in list(self._documents.values()):
            with document.lock:
                if document.value is not None:
                    self._renew(document, _stopped(document.value))

    def _renew(self, document: _Document, value: PublishedValue) -> None:
        """Write `value` with the time of now. Changes that another program made to the handler's fields are undone."""
        try:
            self._replace(document, value)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not keep the other documents from a renewal
            problem = str(error) if isinstance(error, DocumentError | OSError) else f"{type(error).__name__}: {error}"
            if problem != document.problem:
                fields = logs.fields(vmi=document.vmi)
                log.warning("the document is not renewed: %s; it expires in %g s", problem, LEASE, extra=fields)
            document.problem = problem
        else:
            document.problem = None

    def _replace(self, document: _Document, value: PublishedValue) -> None:
        before = vmi_document.load(document.path)
        base = vmi_document.empty(document.vmi) if before is None else before
        vmi_document.replace(document.path, vmi_document.changed(base, value, LEASE, self._wall()))


def _stopped(value: PublishedValue) -> PublishedValue:
    """Return `value` as not observed. A service that is not watched claims nothing, and stays as it is."""
    services = [
        one._replace(detail=one.detail._replace(**_STOPPED))
        if isinstance(one.detail, ServiceDetail) and one.detail.watched
        else one
        for one in value.services
    ]
    detail = value.detail._replace(**_STOPPED) if isinstance(value.detail, Detail) else value.detail
    return PublishedValue(value.sessions, detail, tuple(services))


def _failed(error: Exception) -> Outcome:
    kind = OutcomeKind.FORBIDDEN if isinstance(error, PermissionError) else OutcomeKind.ERROR
    return Outcome(kind, message=str(error))
