"""A client of the API server for the tests themselves: fast enough to sample every ten milliseconds, with a watch that
misses no version of an object."""

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from testbed.waiting import TIMEOUT, wait_until
from tests.cluster.access import Access
from tests.cluster.objects import Object

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
# Seconds: every response arrives within milliseconds, unless the API server has just been killed.
ANSWER_TIMEOUT = 60.0


class ApiError(Exception):
    """The API server returned an error; `code` is the HTTP status."""

    def __init__(self, code: int, body: Object) -> None:
        super().__init__(f"{code}: {body.get('message')}")
        self.code = code


class Client:
    """Acts as the user of a kubeconfig. Any thread may use it: each has its own connection, which is kept open."""

    def __init__(self, kubeconfig: Path) -> None:
        self._access = Access.of(kubeconfig)
        self._local = threading.local()
        self._connections: list[http.client.HTTPSConnection] = []

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        return self._request("GET", f"{path}?{urlencode(query)}" if query else path)

    def find(self, path: str) -> Object | None:
        """Return the object at a path, or None if there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.code != http.HTTPStatus.NOT_FOUND:
                raise
            return None

    def post(self, path: str, body: Object) -> Object:
        return self._request("POST", path, body)

    def put(self, path: str, body: Object) -> Object:
        return self._request("PUT", path, body)

    def patch(self, path: str, body: object, content_type: str = MERGE_PATCH) -> Object:
        return self._request("PATCH", path, body, content_type)

    def delete(self, path: str) -> Object:
        return self._request("DELETE", path)

    def connection(self) -> http.client.HTTPSConnection:
        """A new one."""
        return http.client.HTTPSConnection(self._access.server, timeout=ANSWER_TIMEOUT, context=self._access.tls)

    def headers(self, content_type: str = JSON) -> dict[str, str]:
        return {**self._access.headers, "Content-Type": content_type}

    def _request(self, method: str, path: str, body: object = None, content_type: str = JSON) -> Object:
        try:
            return self._ask(method, path, body, content_type)
        except (ConnectionError, ssl.SSLError):  # the API server was killed since this connection was used last
            return self._ask(method, path, body, content_type)

    def _ask(self, method: str, path: str, body: object, content_type: str) -> Object:
        connection = self._kept()
        try:
            connection.request(method, path, None if body is None else json.dumps(body), self.headers(content_type))
            response = connection.getresponse()
            answer: Object = json.loads(response.read())
        except BaseException:
            connection.close()  # it opens again by itself
            raise
        if response.status >= http.HTTPStatus.MULTIPLE_CHOICES:
            raise ApiError(response.status, answer)
        return answer

    def _kept(self) -> http.client.HTTPSConnection:
        found: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = self.connection()
            self._connections.append(found)
        return found


@dataclass(frozen=True)
class Event:
    """One event of a watch; `at` is in seconds of `time.monotonic()`."""

    at: float
    kind: str
    object: Object


class Recorder:
    """Records each version of the objects at a path, whichever client wrote it, from enter to exit.

    A watch that ends is resumed at its last resource version: the API server drops a watch that is read too slowly, as
    happens on a busy machine.
    """

    def __init__(self, client: Client, path: str, query: Mapping[str, str] | None = None) -> None:
        self._client = client
        self._path = path
        self._query = dict(query or {})
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)
        self.events: list[Event] = []

    def __enter__(self) -> Self:
        listed = self._client.get(self._path, self._query)
        now = time.monotonic()
        self.events += [Event(now, "LISTED", item) for item in listed["items"]]
        self._version = listed["metadata"]["resourceVersion"]
        self._open()
        self._thread.start()
        return self

    def _open(self) -> None:
        query = {**self._query, "watch": "1", "resourceVersion": self._version}
        self._connection = self._client.connection()
        self._connection.request("GET", f"{self._path}?{urlencode(query)}", headers=self._client.headers())
        assert self._connection.sock is not None
        self._socket: socket.socket = self._connection.sock
        self._response = self._connection.getresponse()
        self._socket.settimeout(None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._catch_up()
        finally:
            self._end()

    def _catch_up(self) -> None:
        """Wait until everything that was stored before exit is recorded."""
        listed = self._client.get(self._path, self._query)
        wanted = {item["metadata"]["uid"]: int(item["metadata"]["resourceVersion"]) for item in listed["items"]}
        wait_until(
            lambda: self._missing(wanted), lambda missing: not missing, what="the watch has seen it all", timeout=90
        )

    def _missing(self, wanted: Mapping[str, int]) -> set[str]:
        """Return the objects, by UID, whose latest version or deletion the watch has not seen."""
        found: dict[str, int] = {}
        for event in list(self.events):
            metadata = event.object["metadata"]
            found[metadata["uid"]] = int(metadata["resourceVersion"])
            if event.kind == "DELETED":
                del found[metadata["uid"]]
        late = {uid for uid, version in wanted.items() if found.get(uid, 0) < version}
        return late | (found.keys() - wanted.keys())

    def _end(self) -> None:
        self._ending.set()
        while self._thread.is_alive():  # it may be opening another watch
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._thread.join(0.1)
        self._response.close()
        self._connection.close()

    def values(self, read: Callable[[Object], Any]) -> list[Any]:
        """Return what `read` returns for each version, without repetitions; None for a deleted object."""
        found: list[Any] = []
        for event in list(self.events):
            value = None if event.kind == "DELETED" else read(event.object)
            if not found or found[-1] != value:
                found.append(value)
        return found

    def wait_for(self, read: Callable[[Object], Any], wanted: object, timeout: float = TIMEOUT) -> None:
        """Wait until the newest version has the wanted value."""
        wait_until(lambda: self.values(read)[-1:], lambda seen: seen == [wanted], what=f"{wanted!r}", timeout=timeout)

    def _run(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError, AttributeError):
                if self._response.status == http.HTTPStatus.OK:
                    self._follow()
            if self._ending.wait(0.1):
                return
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._connection.close()
                self._open()

    def _follow(self) -> None:
        while line := self._response.readline():
            event = json.loads(line)
            if event["type"] == "ERROR":
                return  # _catch_up() reports what it has missed
            self._version = event["object"]["metadata"]["resourceVersion"]
            self.events.append(Event(time.monotonic(), event["type"], event["object"]))
