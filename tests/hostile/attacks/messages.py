"""The words of an agent, and streams to say them on."""

from collections.abc import Callable, Iterator
from pathlib import Path

from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types
from tests.hostile import http2
from tests.hostile.attacks.registry import Steps
from tests.hostile.http2 import Connection


def said(request: pb.ReportSessionsRequest) -> bytes:
    return http2.message(request.SerializeToString())


def hello(instance: str = "enemy", features: tuple[str, ...] = ("identified-sessions",)) -> bytes:
    return said(pb.ReportSessionsRequest(hello=pb.Hello(instance=instance, features=features)))


def snapshot(sequence: int, sessions: int = 1, **fields: object) -> bytes:
    vnc = types.ServiceSessions(service=types.SERVICE_VNC, sessions=sessions, **fields)  # type: ignore[arg-type]
    observation = types.Observation(observed=True, reason=types.OBSERVATION_REASON_WATCHING)
    return said(
        pb.ReportSessionsRequest(snapshot=pb.Snapshot(sequence=sequence, observation=observation, services=[vnc]))
    )


def delta(sequence: int, started: int, ended: int, sessions: int) -> bytes:
    vnc = pb.ServiceDelta(service=types.SERVICE_VNC, started=started, ended=ended, sessions=sessions)
    return said(pb.ReportSessionsRequest(delta=pb.Delta(sequence=sequence, services=[vnc])))


def heartbeat(sequence: int) -> bytes:
    return said(pb.ReportSessionsRequest(heartbeat=pb.Heartbeat(sequence=sequence)))


def streams(first: int = 1) -> Iterator[int]:
    """Numbers that a client may give to its streams."""
    while True:
        yield first
        first += 2


def again(path: Path, connection: Connection | None) -> Connection:
    """The connection, or another one where the peer has ended it."""
    if connection is not None and connection.alive:
        return connection
    if connection is not None:
        connection.close()
    return Connection(path)


def on_new_streams(path: Path, words: Callable[[int], bytes]) -> Steps:
    """Open streams without end, each with the message that `words` returns for its number, and read the responses."""
    connection, number = None, 1
    while True:
        if connection is None or not connection.alive:
            connection, number = again(path, connection), 1
        connection.send(http2.open_stream(number) + http2.data(number, words(number)))
        connection.drain()
        number += 2
        yield 1
