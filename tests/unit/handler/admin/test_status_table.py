"""The table of `handler-service status`: a number that is not known never looks like a zero."""

import pytest

from handler_service.admin.status_table import problems, table
from servicestatus.timestamps import timestamp
from servicestatus.v1 import service_status_service_pb2 as pb
from servicestatus.v1 import session_report_service_pb2 as report_pb
from servicestatus.v1 import sessions_pb2 as types

NOW = 1_000_000.0
WATCHING = pb.EndpointStatus(observation=types.Observation(observed=True, reason=types.OBSERVATION_REASON_WATCHING))


def status(
    *, sessions: int = 0, observed: bool = True, message: str = "", published: int = 0, since: float | None = 12.0
) -> pb.VmiServiceStatus:
    """default/vm1 with one service; `since` is seconds ago."""
    made = pb.VmiServiceStatus(
        vmi=types.VmiReference(namespace="default", name="vm1"),
        services=[
            pb.ServiceSummary(
                service=types.SERVICE_VNC,
                sessions=sessions,
                observed=observed,
                message=message,
                since=timestamp(None if since is None else NOW - since),
            )
        ],
        endpoints=[WATCHING] if observed else [],
        publications=[pb.PublicationStatus(publisher="file", state=report_pb.PUBLISH_STATE_PUBLISHED)],
    )
    made.publications[0].observed.add(service=types.SERVICE_VNC, sessions=published)
    return made


def cells(*statuses: pb.VmiServiceStatus) -> list[list[str]]:
    return [line.split() for line in table(statuses, NOW).splitlines()[1:]]


def test_it_has_a_header_and_columns_that_are_aligned() -> None:
    lines = table([status(sessions=1, published=1)], NOW).splitlines()
    assert lines == [
        "VM            SERVICE   SESSIONS   OBSERVED   IDLE    SINCE   REASON",
        "default/vm1   VNC       1          True       False   12s     Watching",
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (status(), ["0", "True", "True", "12s", "Watching"]),
        (status(sessions=2), ["2", "True", "False", "12s", "Watching"]),
        (
            status(observed=False, message="AgentSilent", since=None),
            ["-", "False", "Unknown", "-", "AgentSilent"],
        ),
        # A handler that was restarted knows nothing, and its document still shows the last number.
        (
            status(observed=False, message="NoAgent: a text", published=3, since=None),
            ["3", "False", "Unknown", "-", "NoAgent"],
        ),
        (
            status(observed=False, sessions=4, message="LowerBound", published=3),
            ["4", "False", "Unknown", "12s", "LowerBound"],
        ),
    ],
)
def test_a_zero_is_shown_only_if_it_is_known(given: pb.VmiServiceStatus, expected: list[str]) -> None:
    assert cells(given) == [["default/vm1", "VNC", *expected]]


def test_each_service_has_its_own_line_also_one_of_a_later_version() -> None:
    given = status()
    given.services.add(service=99, sessions=1, observed=True)
    assert [line[1:3] for line in cells(given)] == [["VNC", "0"], ["99", "1"]]


def test_a_service_that_is_not_watched_has_no_line() -> None:
    """That is what most hosts do with the services that must be polled. One that is unknown has a line."""
    given = status()
    given.services.add(service=types.SERVICE_USB_REDIRECTION, message="NotWatched: the handler does not ask for it")
    given.services.add(service=types.SERVICE_SERIAL_CONSOLE, message="QueryFailed: QEMU has not answered")
    assert [line[1:] for line in cells(given)] == [
        ["VNC", "0", "True", "True", "12s", "Watching"],
        ["SERIAL_CONSOLE", "-", "False", "Unknown", "-", "QueryFailed"],
    ]


@pytest.mark.parametrize(
    ("since", "expected"),
    [(-5, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172799, "47h"), (172800, "2d")],
)
def test_a_time_is_shown_in_one_unit(since: float, expected: str) -> None:
    assert cells(status(since=since))[0][5] == expected


def test_a_value_that_cannot_be_written_is_named_without_control_characters() -> None:
    given = status()
    given.publications[0].state = report_pb.PUBLISH_STATE_FAILING
    given.publications[0].message = "/x\x1b is full"
    assert problems([given, status()]) == ["default/vm1 is not published (file): /x\\x1b is full"]


def test_the_reason_of_an_observed_service_is_its_own() -> None:
    """Of another service than VNC, whose viewers may not be observed."""
    given = status(observed=False, message="LowerBound", since=None)
    given.services.add(service=types.SERVICE_SERIAL_CONSOLE, observed=True)
    endpoint = given.endpoints.add(observation=types.Observation(reason=types.OBSERVATION_REASON_LOWER_BOUND))
    endpoint.services.add(service=types.SERVICE_SERIAL_CONSOLE, observation=WATCHING.observation)
    assert cells(given)[1][1:] == ["SERIAL_CONSOLE", "0", "True", "True", "-", "Watching"]
