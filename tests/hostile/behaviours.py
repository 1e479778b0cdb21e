"""What a hostile handler does: by name, from the messages of an agent to the messages that the agent gets."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
from google.protobuf.duration_pb2 import Duration

from servicestatus.contract import FEATURES
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types

Requests = Iterator[bytes]
#: From the agent's messages (as bytes, since only the handler's matter here) to the messages that it gets.
Behaviour = Callable[[Requests], Iterator[bytes]]

BEHAVIOURS: dict[str, Behaviour] = {}


def behaviour(run: Behaviour) -> Behaviour:
    BEHAVIOURS[run.__name__.replace("_", "-")] = run
    return run


def said(**arm: object) -> bytes:
    return pb.ReportSessionsResponse(**arm).SerializeToString()  # type: ignore[arg-type]


WELCOME = said(welcome=pb.Welcome(handler_version="hostile"))


@behaviour
def terms_that_make_it_spin(requests: Requests) -> Iterator[bytes]:
    """Every setting at once, without limit."""
    none = Duration(seconds=-(2**40), nanos=-999_999_999)
    yield said(welcome=pb.Welcome(heartbeat_interval=none, lease=none, window=2**32 - 1, delta_burst=2**32 - 1))
    yield from _until_it_ends(requests)


@behaviour
def terms_that_make_it_silent(requests: Requests) -> Iterator[bytes]:
    """Never."""
    never = Duration(seconds=315_576_000_000, nanos=2**31 - 1)
    yield said(welcome=pb.Welcome(heartbeat_interval=never, lease=never, delta_interval=never, window=1))
    yield from _until_it_ends(requests)


@behaviour
def terms_that_ask_for_the_most(requests: Requests) -> Iterator[bytes]:
    """All features, Deltas and polls as often as the bounds permit, and an ack for each message."""
    least, most = Duration(nanos=1), 2**32 - 1
    polling = [types.Polling(service=name, interval=least) for name, _ in types.Service.items()]
    terms = pb.Welcome(features=sorted(FEATURES), delta_interval=least, window=most, delta_burst=most, polling=polling)
    yield said(welcome=terms)
    for request in requests:
        message = pb.ReportSessionsRequest.FromString(request)
        yield said(ack=pb.Ack(accepted=message.delta.sequence or message.snapshot.sequence))


@behaviour
def giant_welcome(requests: Requests) -> Iterator[bytes]:
    """Texts as long as a message may be."""
    giant = "x" * 60_000
    for field in ("handler_version", "vmi", "features"):
        value = {"handler_version": giant, "vmi": types.VmiReference(name=giant), "features": [giant]}[field]
        yield said(welcome=pb.Welcome(**{field: value}))  # type: ignore[arg-type]
    yield from _until_it_ends(requests)


@behaviour
def many_features(requests: Requests) -> Iterator[bytes]:
    """Ten thousand."""
    yield said(welcome=pb.Welcome(features=[f"f{number}" for number in range(8_000)]))
    yield from _until_it_ends(requests)


@behaviour
def ack_flood(requests: Requests) -> Iterator[bytes]:
    """Of everything, and of what was never sent."""
    yield WELCOME
    for number in itertools.count():
        yield said(ack=pb.Ack(accepted=2**64 - 1 - number % 2, published=2**64 - 1, state=99, message="\u202e" * 50))  # type: ignore[arg-type]


@behaviour
def resync_flood(requests: Requests) -> Iterator[bytes]:
    """Each asks for everything."""
    yield WELCOME
    while True:
        yield said(resync_request=pb.ResyncRequest(accepted=2**64 - 1, reason=77))  # type: ignore[arg-type]


@behaviour
def welcome_flood(requests: Requests) -> Iterator[bytes]:
    """As if it had just come."""
    while True:
        yield WELCOME


@behaviour
def drain_flood(requests: Requests) -> Iterator[bytes]:
    """It stops, and does not."""
    yield WELCOME
    while True:
        yield said(drain_notice=pb.DrainNotice(grace=Duration(seconds=-1)))


@behaviour
def unknown_flood(requests: Requests) -> Iterator[bytes]:
    """Arms of versions to come, 60 KB each."""
    yield WELCOME
    while True:
        yield b"\xfa\x01" + b"\xe0\xd4\x03" + bytes(60_000)


@behaviour
def message_too_large(requests: Requests) -> Iterator[bytes]:
    """Ten megabytes."""
    yield WELCOME
    yield said(ack=pb.Ack(message="x" * 10_000_000))


@behaviour
def nonsense(requests: Requests) -> Iterator[bytes]:
    """Bytes that are no message."""
    yield WELCOME
    while True:
        yield b"\xff" * 1000
        yield b"\x12\x04\x22\x02\xff\xfe"


@behaviour
def never_answering(requests: Requests) -> Iterator[bytes]:
    """Not even a welcome."""
    yield from _until_it_ends(requests)


@behaviour
def ends_at_once(requests: Requests) -> Iterator[bytes]:
    """Each stream, whatever is said."""
    yield WELCOME


@behaviour
def status_with_a_giant_text(requests: Requests) -> Iterator[bytes]:
    """In place of an answer."""
    raise RuntimeError("\x1b[2J\nforged " + "x" * 6_000)
    yield b""


def _until_it_ends(requests: Requests) -> Iterator[bytes]:
    for _ in requests:
        yield from ()


class _Everything(grpc.GenericRpcHandler):
    """Serves any method, with bytes."""

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave

    def service(self, _details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.stream_stream_rpc_method_handler(lambda requests, _context: self._behave(requests))


@contextmanager
def serving(path: Path, behave: Behaviour) -> Iterator[None]:
    options = [("grpc.max_send_message_length", -1)]
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool, handlers=[_Everything(behave)], options=options)
        server.add_insecure_port(f"unix:{path}")
        server.start()
        try:
            yield
        finally:
            server.stop(None).wait()
