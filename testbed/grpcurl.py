"""Runs the real grpcurl on a unix socket, as a person queries the debug API of both programs.

grpcurl has none of our protobuf files. Names and types come from reflection, so each call tests reflection too.
"""

import functools
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hack.builds import gotools
from testbed.processes import ManagedProcess

Request = Mapping[str, Any]
# Seconds: a server that does not answer fails the call with DEADLINE_EXCEEDED.
MAX_TIME = 60


class GrpcurlError(Exception):
    """`code` is the number of the gRPC status, as 5 for NOT_FOUND."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@functools.cache
def binary() -> Path:
    """Return its path; it is built if the cache does not have it."""
    return gotools.find("grpcurl").build()


class Grpcurl:
    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def call(self, method: str, request: Request | None = None, *, max_time: float = MAX_TIME) -> Any:
        """One answer of `package.Service/Method`, as parsed JSON."""
        options = ["-max-time", str(max_time), "-format-error", "-d", json.dumps(request or {})]
        (answer,) = _values(self._run(options, [method]))
        return answer

    def services(self) -> list[str]:
        return self._run([], ["list"]).splitlines()

    def describe(self, symbol: str) -> str:
        return self._run([], ["describe", symbol])

    def watch(self, method: str, request: Request | None = None, *, log: Path) -> "Watch":
        """A streaming call that runs until the context ends."""
        return Watch(self._command(["-d", json.dumps(request or {})], [method]), log)

    def _command(self, options: list[str], verb: list[str]) -> list[str]:
        # Without a listener grpcurl dials until this time is over.
        return [str(binary()), "-plaintext", "-unix", "-connect-timeout", "3", *options, str(self._socket), *verb]

    def _run(self, options: list[str], verb: list[str]) -> str:
        command = self._command(options, verb)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MAX_TIME * 2)
        if done.returncode != 0:
            raise _error(done.stderr)
        return done.stdout


class Watch:
    """The messages that a streaming call has received so far."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.process = ManagedProcess(command, log=log)

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()

    @property
    def messages(self) -> list[Any]:
        return list(_values(self.process.log_text()))


def _values(text: str) -> Iterator[Any]:
    """JSON values one after another; an unfinished one at the end is left for the next look."""
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        try:
            value, end = decoder.raw_decode(text)
        except json.JSONDecodeError:
            return
        yield value
        text = text[end:]


def _error(stderr: str) -> GrpcurlError:
    """Map grpcurl's error: with -format-error a status is JSON, and a socket without a listener is plain text."""
    try:
        status = json.loads(stderr)
    except json.JSONDecodeError:
        return GrpcurlError(2, stderr.strip())
    return GrpcurlError(status["code"], status.get("message", ""))
