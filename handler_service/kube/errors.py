"""What an API server may answer, as one tree. Foreign errors are mapped here once, and nowhere else."""

import json
from collections.abc import Mapping
from typing import Any, Final

#: Seconds that a server can make a client wait at most, whatever it asks for: a value must not be late for an hour
#: because of one answer.
MAX_RETRY_AFTER: Final = 60.0


class KubeError(Exception):
    """A request failed. Subclasses say what to do about it."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """`retry_after` in seconds, if the server named it."""
        super().__init__(message)
        self.retry_after = retry_after


class UnreachableError(KubeError):
    """No answer: whether the server did what was asked is not known."""


class ServerError(KubeError):
    """5xx, or an answer that makes no sense: try again later."""


class ThrottledError(KubeError):
    """429: the server wants to be left alone for a while."""


class UnauthorizedError(KubeError):
    """401: the token is not, or no longer, valid."""


class ForbiddenError(KubeError):
    """403: a role or a policy forbids it."""


class NotFoundError(KubeError):
    """404: the object, or its kind, is not there."""


class ConflictError(KubeError):
    """409: the object is not what the request was made for. Look again."""


class ExpiredError(KubeError):
    """410: this resourceVersion is no longer kept. List again."""


class InvalidError(KubeError):
    """400 or 422: the server understood and refused; for a JSON patch: a `test` did not hold."""


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
    """The error of an HTTP status, with the message of the Status object in `body` if there is one."""
    message = body.get("message") if isinstance(body, dict) else None
    kind = _BY_STATUS.get(status, ServerError)
    return kind(f"{status}: {message or 'no message'}"[:1024], _seconds(retry_after))


def _seconds(retry_after: str | None) -> float | None:
    """The header as Kubernetes sends it: a number of seconds."""
    if retry_after is None or not retry_after.isdecimal():
        return None
    return min(float(retry_after), MAX_RETRY_AFTER)


def body_of(text: bytes) -> Any:
    """JSON of an answer; raises ServerError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ServerError("the answer is not JSON") from error
