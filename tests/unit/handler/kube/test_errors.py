"""What an API server may answer is mapped to what is to be done about it."""

import pytest

from handler_service.kube import errors
from handler_service.model import OutcomeKind
from handler_service.publishers import outcomes


@pytest.mark.parametrize(
    ("status", "kind", "outcome"),
    [
        (400, errors.InvalidError, OutcomeKind.ERROR),
        (401, errors.UnauthorizedError, OutcomeKind.FORBIDDEN),
        (403, errors.ForbiddenError, OutcomeKind.FORBIDDEN),
        (404, errors.NotFoundError, OutcomeKind.GONE),
        (409, errors.ConflictError, OutcomeKind.CONFLICT),
        (410, errors.ExpiredError, OutcomeKind.ERROR),
        (418, errors.ServerError, OutcomeKind.ERROR),
        (422, errors.InvalidError, OutcomeKind.ERROR),
        (429, errors.ThrottledError, OutcomeKind.ERROR),
        (500, errors.ServerError, OutcomeKind.ERROR),
        (504, errors.ServerError, OutcomeKind.ERROR),
    ],
)
def test_a_status_is_an_error_and_an_outcome(status: int, kind: type[errors.KubeError], outcome: OutcomeKind) -> None:
    """The message is the server's."""
    error = errors.of_status(status, {"message": "because"})
    assert type(error) is kind
    assert str(error) == f"{status}: because"
    assert outcomes.of_error(error).kind is outcome


@pytest.mark.parametrize("body", [None, 7, [], {}, {"message": ""}, {"message": None}])
def test_a_status_without_words_is_told_as_such(body: object) -> None:
    assert str(errors.of_status(500, body)) == "500: no message"


def test_a_long_message_is_cut() -> None:
    """It goes to logs and to agents."""
    assert len(str(errors.of_status(500, {"message": "x" * 9999}))) == 1024


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("0", 0.0),
        ("-1", None),
        ("soon", None),
        ("1.5", None),
        ("99999", 60.0),
        ("9" * 999, 60.0),
    ],
)
def test_how_long_to_wait_is_the_servers_to_say_within_reason(header: str | None, seconds: float | None) -> None:
    """A minute at most: one odd answer must not make a value late for hours."""
    assert errors.of_status(429, None, header).retry_after == seconds


@pytest.mark.parametrize("text", [b"", b"<html>", b"\xff", b"[" * 100_000])
def test_an_answer_that_is_not_json_is_an_error_of_the_server(text: bytes) -> None:
    with pytest.raises(errors.ServerError, match="the answer is not JSON"):
        errors.body_of(text)
