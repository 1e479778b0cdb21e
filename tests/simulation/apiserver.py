"""A model of the API server: objects, versions, preconditions, watches, and all faults that a writer may see.

It answers like the real one in every respect that the handler reads: a JSON patch whose test fails is 422, a stale
resourceVersion 409, a watch from a version that is no longer kept 410. Each stored VMI is recorded when it is
committed.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random
from typing import Any, Final

from handler_service.cluster import vmi_schema as schema
from handler_service.kube import companion, errors, vmi
from tests.simulation.ports import FIELDS

Object = dict[str, Any]

VMIS: Final = "virtualmachineinstances"
CRDS: Final = "customresourcedefinitions"
LEASES: Final = "leases"
#: The name of the controller's token.
CONTROLLER: Final = "controller"
#: Seconds after which a request without a response times out.
TIMEOUT: Final = 2.0


class Fate(Enum):
    """What happens to a write."""

    CONFLICT = auto()
    #: It never arrives.
    LOST = auto()
    #: It is done, and the response is lost.
    DONE_AND_LOST = auto()
    #: 500.
    FAILED = auto()
    #: 429, with `Retry-After: 1`.
    THROTTLED = auto()
    #: 403.
    FORBIDDEN = auto()


_REFUSALS: Final = {
    Fate.CONFLICT: (409, None),
    Fate.FAILED: (500, None),
    Fate.THROTTLED: (429, "1"),
    Fate.FORBIDDEN: (403, None),
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrives."""

    method: str
    path: str
    body: Any
    #: The handler whose token it has, or CONTROLLER; "" for any other client.
    by: str


@dataclass(frozen=True, slots=True)
class _Change:
    version: int
    kind: str
    before: Object | None
    after: Object | None
    text: bytes


@dataclass(eq=False, slots=True)
class Watcher:
    """One watch."""

    kind: str
    label: tuple[str, str | None] | None
    lines: deque[bytes] = field(default_factory=deque)
    #: None: alive; otherwise how it ended: an error, or in good order.
    over: bool = False
    error: errors.KubeError | None = None
    awaited: asyncio.Event = field(default_factory=asyncio.Event)
    #: When the last line arrives: lines keep their order.
    due: float = 0.0

    def end(self, error: errors.KubeError | None) -> None:
        """Nothing more comes."""
        self.over, self.error = True, error
        self.awaited.set()

    def line(self, change: _Change) -> bytes | None:
        """The change as this watch reports it; None if it is none for its selection."""
        if change.kind != self.kind:
            return None
        before, after = self._selects(change.before), self._selects(change.after)
        if not before and not after:
            return None
        word = "MODIFIED" if before and after else "ADDED" if after else "DELETED"
        return b'{"type":"%s","object":%s}' % (word.encode(), change.text)

    def _selects(self, object_: Object | None) -> bool:
        if object_ is None:
            return False
        if self.label is None:
            return True
        name, wanted = self.label
        found = object_["metadata"].get("labels", {}).get(name)
        return found is not None if wanted is None else found == wanted


class ApiServer:
    """All objects."""

    def __init__(self, rng: Random, *, knows_field: bool, noted: Callable[[Request, Object | None], None]) -> None:
        """`noted` is called with each change and its object; with None for one that was deleted."""
        self._rng = rng
        self._noted = noted
        self._loop = asyncio.get_running_loop()
        self._objects: dict[str, Object] = {}
        self._log: list[_Change] = []
        self._oldest = 0
        self._version = 100
        self.up = True
        self.knows_field = knows_field
        self.reverts = False
        self.refuses: Fate | None = None
        #: Whether the handlers have lost the right to write companions, and have kept that to renew their Leases.
        self.companions_forbidden = False
        self.slow = False
        #: Seconds by which watches are late.
        self.watch_lag = 0.0
        self.fates: deque[Fate] = deque()
        self.watchers: set[Watcher] = set()
        self.commit("POST", f"{schema._PATH}/{schema.CRD}", self._crd())

    # --- requests ---

    async def ask(self, request: Request) -> Object:
        """A handler's request; raises KubeError. A sent request arrives even if its caller no longer waits."""
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._loop.call_later(self._lag(), self._arrive, request, answer)
        try:
            async with asyncio.timeout(TIMEOUT + 1.0):
                found: Object = json.loads(await answer)
        except TimeoutError:
            raise errors.UnreachableError("no answer: timed out") from None
        return found

    def _lag(self) -> float:
        return self._rng.uniform(0.3, 1.5) if self.slow else self._rng.uniform(0.001, 0.01)

    def _arrive(self, request: Request, answer: "asyncio.Future[bytes]") -> None:
        if not self.up:
            self._fail(answer, errors.UnreachableError("no answer: connection refused"))
            return
        fate = self._fate(request)
        if fate is Fate.LOST:
            return
        try:
            if fate in _REFUSALS:
                status, after = _REFUSALS[fate]
                raise errors.of_status(status, {"message": fate.name.lower()}, after)
            found = json.dumps(self._do(request)).encode()
        except errors.KubeError as error:
            self._fail(answer, error)
            return
        if fate is not Fate.DONE_AND_LOST:
            self._loop.call_later(self._lag(), _answer, answer, found)

    def _fate(self, request: Request) -> Fate | None:
        if request.method == "GET":
            return None
        if self.companions_forbidden and request.by != CONTROLLER and f"/{companion.PLURAL}" in request.path:
            return Fate.FORBIDDEN
        # A fate for the next writes of a value is not used up by a Lease's renewal.
        return self.fates.popleft() if self.fates and f"/{LEASES}" not in request.path else self.refuses

    def _fail(self, answer: "asyncio.Future[bytes]", error: errors.KubeError) -> None:
        self._loop.call_later(self._lag(), _answer, answer, error)

    def _do(self, request: Request) -> Object:
        if request.method == "POST":
            return self._create(request)
        path = request.path.removesuffix("/status")
        before = self._found(path)
        if request.method == "PATCH":
            return self.commit("PATCH", path, self._patched(before, request), request.by)
        if request.method == "DELETE":
            wanted = request.body["preconditions"]["uid"]
            if wanted != before["metadata"]["uid"]:
                raise errors.of_status(409, {"message": "the UID in the precondition"})
            self.delete(path, request.by)
        return before

    def _create(self, request: Request) -> Object:
        path = f"{request.path}/{request.body['metadata']['name']}"
        if path in self._objects:
            raise errors.of_status(409, {"message": "already exists"})
        return self.commit("POST", path, self._fresh(request.body, path), request.by)

    def _patched(self, before: Object, request: Request) -> Object:
        after: Object = _copy(before)
        if isinstance(request.body, list):
            _json_patch(after, request.body)
        else:
            wanted = request.body.get("metadata", {}).get("resourceVersion", before["metadata"]["resourceVersion"])
            if wanted != before["metadata"]["resourceVersion"]:
                raise errors.of_status(409, {"message": "the object has been modified"})
            part = request.path.endswith("/status")
            _merge(after, {key: value for key, value in request.body.items() if (key == "status") == part})
        if self.reverts and f"/{VMIS}/" in request.path:
            after["status"] = _copy(before["status"])
        return after

    def _found(self, path: str) -> Object:
        if path not in self._objects:
            raise errors.of_status(404, {"message": f"{path} not found"})
        return self._objects[path]

    def _fresh(self, body: Object, path: str) -> Object:
        after: Object = _copy(body)
        after["metadata"]["uid"] = f"{path.rpartition('/')[2]}-{self._version}"
        after.pop("status", None)
        return after

    # --- what is stored ---

    def get(self, path: str) -> Object | None:
        """Return an object as it is."""
        return self._objects.get(path)

    def commit(self, method: str, path: str, after: Object, by: str = "") -> Object:
        """Store an object, for a handler or for another client."""
        if f"/{VMIS}/" in path and not self.knows_field:
            after["status"].pop("serviceStatus", None)
        before = self._objects.get(path)
        if before is not None and _same(before, after):
            return before  # the API server writes nothing then
        self._version += 1
        after["metadata"]["resourceVersion"] = str(self._version)
        self._objects[path] = after
        self._log_change(path, before, after)
        self._noted(Request(method, path, None, by), after)
        return after

    def delete(self, path: str, by: str = "") -> None:
        """Remove an object, and after a while what it owns."""
        before = self._objects.pop(path, None)
        if before is None:
            return
        self._version += 1
        gone = _copy(before)
        gone["metadata"]["resourceVersion"] = str(self._version)
        self._log_change(path, gone, None)
        self._noted(Request("DELETE", path, before, by), None)
        self._loop.call_later(self._rng.uniform(0.1, 3.0), self._collect, before["metadata"]["uid"])

    def _collect(self, owner: str) -> None:
        for path, object_ in list(self._objects.items()):
            if any(one["uid"] == owner for one in object_["metadata"].get("ownerReferences", [])):
                self.delete(path)

    def learn_field(self, knows: bool) -> None:
        """Change the VMI's schema."""
        if knows != self.knows_field:
            self.knows_field = knows
            self.commit("PUT", f"{schema._PATH}/{schema.CRD}", self._crd())

    def _crd(self) -> Object:
        numbers = {name: {"type": "integer"} for name in ("vncSessions", *FIELDS.values())}
        known = {"serviceStatus": {"properties": numbers}} if self.knows_field else {}
        status = {"properties": known}
        version = {"name": "v1", "schema": {"openAPIV3Schema": {"properties": {"status": status}}}}
        return {"metadata": {"name": schema.CRD, "uid": "crd"}, "spec": {"versions": [version]}}

    # --- watches ---

    def list(self, kind: str, label: tuple[str, str | None] | None) -> Object:
        """Return all objects of a kind with a label."""
        selects = Watcher(kind, label)._selects
        items = [object_ for path, object_ in self._objects.items() if f"/{kind}/" in path and selects(object_)]
        return {"items": items, "metadata": {"resourceVersion": str(self._version)}}

    def watch(self, kind: str, label: tuple[str, str | None] | None, version: int) -> Watcher:
        """Yield changes after a version; raise ExpiredError."""
        if version < self._oldest:
            raise errors.of_status(410, {"message": "too old resource version"})
        watcher = Watcher(kind, label)
        self.watchers.add(watcher)
        for change in self._log:
            if change.version > version:
                self._report(watcher, change)
        return watcher

    def forget_history(self) -> None:
        """Watches must start again from a list after this."""
        self._oldest = self._version
        self._log.clear()

    def cut_watches(self, error: errors.KubeError | None) -> None:
        """All watches end."""
        for watcher in tuple(self.watchers):
            self.watchers.discard(watcher)
            watcher.end(error)

    def stop(self) -> None:
        """It answers no request."""
        self.up = False
        self.cut_watches(errors.UnreachableError("no answer: connection reset"))

    def _log_change(self, path: str, before: Object | None, after: Object | None) -> None:
        kind = path.split("/")[-2]
        text = json.dumps(after if after is not None else before).encode()
        change = _Change(self._version, kind, before, after, text)
        self._log.append(change)
        for watcher in self.watchers:
            self._report(watcher, change)

    def _report(self, watcher: Watcher, change: _Change) -> None:
        line = watcher.line(change)
        if line is None:
            return
        due = self._loop.time() + self.watch_lag + self._rng.uniform(0.001, 0.01)
        watcher.due = max(watcher.due + 1e-6, due)
        self._loop.call_at(watcher.due, self._deliver, watcher, line)

    def _deliver(self, watcher: Watcher, line: bytes) -> None:
        if not watcher.over:
            watcher.lines.append(line)
            watcher.awaited.set()


def _answer(waiting: "asyncio.Future[bytes]", answer: bytes | errors.KubeError) -> None:
    if waiting.done():
        return  # the caller no longer waits
    if isinstance(answer, bytes):
        waiting.set_result(answer)
    else:
        waiting.set_exception(answer)


def _copy(object_: Any) -> Any:
    return json.loads(json.dumps(object_))


def _same(before: Object, after: Object) -> bool:
    version = before["metadata"]["resourceVersion"]
    return before == {**after, "metadata": {**after["metadata"], "resourceVersion": version}}


def _json_patch(object_: Object, patch: list[Object]) -> None:
    for operation in patch:
        *parents, last = operation["path"].strip("/").split("/")
        place = object_
        for key in parents:
            place = place[key]
        if operation["op"] == "test":
            if place.get(last) != operation["value"]:
                raise errors.of_status(422, {"message": f"testing {operation['path']} failed"})
        elif operation["op"] == "add":
            place[last] = operation["value"]
        elif place.pop(last, None) is None:
            raise errors.of_status(422, {"message": f"{operation['path']} is not there"})


def _merge(object_: Object, patch: Object) -> None:
    for key, value in patch.items():
        if value is None:
            object_.pop(key, None)
        elif isinstance(value, dict):
            _merge(object_.setdefault(key, {}), value)
        elif key != "resourceVersion":
            object_[key] = value


def sessions_of(path: str, object_: Object) -> tuple[str, str, int] | None:
    """Place, VMI and number that an object shows; None if it shows none."""
    if f"/{VMIS}/" in path:
        parsed = vmi.parse(object_)
        return None if parsed is None else ("vmi-status", parsed.id.uid, parsed.published.sessions)
    held = companion.parse(object_)
    return None if held is None else ("companion", held.vmi.uid, held.value.sessions)


def services_of(path: str, object_: Object | None) -> dict[str, int]:
    """Return the numbers of the other services that an object shows; an object that is gone shows none."""
    status = (object_ or {}).get("status", {})
    shown = status.get("serviceStatus", {}) if f"/{VMIS}/" in path else status
    return {service: shown.get(field, 0) for service, field in FIELDS.items()}
