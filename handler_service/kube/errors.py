"""Defines one tree of errors for the answers of an API server, and maps HTTP statuses to it."""

import json
from collections.abc import Mapping
from typing import Any, Final

#: The longest Retry-After, in seconds, that is respected. One answer must not delay a value by an hour.
MAX_RETRY_AFTER: Final = 60.0


class KubeError(Exception):
    """A request failed. The subclass decides what to do next."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """`retry_after` is the server's Retry-After in seconds, if it sent one."""
        super().__init__(message)
        self.retry_after = retry_after


class UnreachableError(KubeError):
    """No answer: the server may or may not have executed the request."""


class ServerError(KubeError):
    """5xx, or a malformed answer: try again later."""


class ThrottledError(KubeError):
    """429: the server is overloaded, try again later."""


class UnauthorizedError(KubeError):
    """401: the token is not, or no longer, valid."""


class ForbiddenError(KubeError):
    """403: a role or a policy forbids it."""


class NotFoundError(KubeError):
    """404: the object, or its kind, does not exist."""


class ConflictError(KubeError):
    """409: the object has changed since it was read. Read it again."""


class ExpiredError(KubeError):
    """410: this resourceVersion is no longer kept. List again."""


class PageTooLargeError(KubeError):
    """The page of a list has more bytes than were asked for: ask for fewer objects."""


class InvalidError(KubeError):
    """400 or 422: the server rejected the content; for a JSON patch, a `test` failed."""


_BY_STATUS: Mapping[int, type[KubeError]] = {
    400: InvalidError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: ExpiredError,
    422: InvalidError,
    429: ThrottledError,
}


def of_status(status: int, body: Any, retry_after: str | None = None) -> KubeError:
    """Return the error of an HTTP status, with the message of the Status object in `body` if there is one."""
    message = body.get("message") if isinstance(body, dict) else None
    kind = _BY_STATUS.get(status, ServerError)
    return kind(f"{status}: {message or 'no message'}"[:1024], _seconds(retry_after))


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which Kubernetes sends as a number."""
    if retry_after is None or not retry_after.isdecimal():
        return None
    return min(float(retry_after), MAX_RETRY_AFTER)


def body_of(text: bytes) -> Any:
    """Return the JSON of an answer; raises ServerError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ServerError("the answer is not JSON") from error
