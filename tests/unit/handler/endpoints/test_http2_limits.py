"""What may pass to gRPC, byte by byte: everything that a client needs, and none of what was seen to bring one down."""

import contextlib
import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_service.endpoints.http2_limits import Http2Limits, LimitExceededError, Unfinished, hpack_fields
from tests.hostile import http2

HELLO = http2.message(b"\x0a\x07\x0a\x05agent")


def bounds(unfinished: Unfinished | None = None, *, greeted: bool = True) -> Http2Limits:
    new = Http2Limits(unfinished or Unfinished())
    if greeted:
        new.take(http2.PREFACE)
    return new


def rejection(connection: Http2Limits, *parts: bytes) -> str:
    """Why the last of `parts` is refused; those before it are not."""
    for part in parts[:-1]:
        connection.take(part)
    with pytest.raises(LimitExceededError) as refused:
        connection.take(parts[-1])
    return str(refused.value)


# --- what passes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_an_agents_stream_passes_however_it_is_cut(size: int) -> None:
    """And costs what it is: its bytes, and something for each frame."""
    stream = (
        http2.PREFACE
        + http2.settings((http2.INITIAL_WINDOW_SIZE, 65_535))
        + http2.open_stream(1)
        + http2.data(1, HELLO)
        + http2.frame(http2.PING, payload=bytes(8))
        + http2.data(1, HELLO * 100)
        + http2.frame(http2.DATA, http2.END_STREAM, 1)
    )
    connection = bounds(greeted=False)
    parts = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert sum(connection.take(part) for part in parts) == len(stream) + 5 * 256 + 8192


def test_the_largest_message_passes() -> None:
    """64 KiB, in five frames."""
    unfinished = Unfinished()
    connection = bounds(unfinished)
    connection.take(http2.open_stream(1))
    connection.take(http2.data(1, http2.message(bytes(65_536))))
    assert unfinished.total == 0


def test_frames_of_a_later_kind_pass() -> None:
    """HTTP/2 says that they are ignored."""
    assert bounds().take(http2.frame(0xFE, 0xFF, 7, bytes(100))) == 109 + 256


def test_a_thousand_calls_one_after_the_other_pass() -> None:
    """A call that has ended is forgotten."""
    connection = bounds()
    for number in range(1, 2001, 2):
        connection.take(http2.open_stream(number) + http2.frame(http2.DATA, http2.END_STREAM, number))


# --- what does not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("greeting", "said"),
    [(b"GET / HTTP/1.1\r\n", "this is not HTTP/2"), (b"PRI * HTTP/2.0\r\n\r\nXX", "this is not HTTP/2")],
)
def test_another_protocol_is_refused(greeting: bytes, said: str) -> None:
    """At its first wrong byte."""
    assert rejection(bounds(greeted=False), greeting) == said


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (http2.frame(http2.HEADERS, 0, 1, http2.call()), "a header block is too large"),
        (http2.frame(http2.CONTINUATION, http2.END_HEADERS, 1), "a header block is too large"),
        (http2.open_stream(1, http2.header(b"a", bytes(1024))), "a frame is too large"),
        (http2.settings(*[(http2.INITIAL_WINDOW_SIZE, 1)] * 200), "a frame is too large"),
        (http2.frame(http2.DATA, 0, 1, bytes(16_385)), "a frame is too large"),
        (http2.frame(http2.HEADERS, http2.END_HEADERS | 0x8, 1), "a frame has a padding or a priority"),
        (http2.frame(http2.DATA, 0x8, 1, b"x"), "a frame has a padding or a priority"),
        (http2.open_stream(1, b"\x8f" * 33), "a call has too many headers"),
        (http2.open_stream(1, http2.header(b"a", b"") * 33), "a call has too many headers"),
        (http2.open_stream(1, b"\x40\x01a\x7f\xff"), "a header block makes no sense"),
        (http2.open_stream(1, b"\xff\xff\xff\xff\xff"), "a header block makes no sense"),
    ],
)
def test_a_frame_that_no_agent_sends_is_refused(frame: bytes, said: str) -> None:
    """Each was seen to cost gRPC megabytes, or is of no use."""
    assert rejection(bounds(), http2.open_stream(3), frame) == said


def test_too_many_headers_are_refused_before_their_end_has_come() -> None:
    """What has come is passed on, so it is counted at once."""
    call = http2.open_stream(1, b"\x8f" * 500)
    assert rejection(bounds(), call[: 9 + 32], call[9 + 32 : 9 + 33]) == "a call has too many headers"


def test_a_message_in_too_many_pieces_is_refused() -> None:
    """Each piece costs more than its byte."""
    pieces = [http2.frame(http2.DATA, 0, 1, b"x") for _ in range(32)]
    start = http2.data(1, struct.pack(">BI", 0, 60_000))
    assert rejection(bounds(), http2.open_stream(1), start, *pieces) == "a message has too many pieces"


def test_a_compressed_message_is_refused() -> None:
    """It may be a thousand times as large."""
    said = rejection(bounds(), http2.open_stream(1), http2.data(1, http2.message(b"x", compressed=True)))
    assert said == "a message is compressed"


def test_unfinished_messages_of_all_connections_are_bounded_together() -> None:
    """68 KiB; what a connection held is free when it has ended."""
    unfinished = Unfinished()
    first, second = bounds(unfinished), bounds(unfinished)
    half = http2.data(1, http2.message(bytes(65_000))[:60_000])
    first.take(http2.open_stream(1) + half)
    assert unfinished.total == 60_000
    assert rejection(second, http2.open_stream(1), half) == "too many messages are unfinished"
    second.close()
    first.close()
    assert unfinished.total == 0
    bounds(unfinished).take(http2.open_stream(1) + half)


def test_calls_that_the_agent_does_not_end_are_bounded() -> None:
    """Those that gRPC refused too: 64 of them are no agent's."""
    calls = [http2.open_stream(number) for number in range(1, 131, 2)]
    assert rejection(bounds(), *calls) == "too many calls are open"


# --- whatever comes ---------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=300)))
def test_no_bytes_break_it(parts: list[bytes]) -> None:
    """It passes them on or refuses them, and counts no less than nothing."""
    unfinished = Unfinished()
    connection = bounds(unfinished)
    with contextlib.suppress(LimitExceededError):
        assert all(connection.take(part) >= len(part) for part in parts)
    assert 0 <= unfinished.total <= 68 * 1024
    connection.close()
    assert unfinished.total == 0


#: Frames of every kind that there is a rule for, most of which an agent sends.
FRAMES = [
    *(http2.open_stream(stream) for stream in (1, 3)),
    *(http2.data(1, message) for message in (HELLO, HELLO * 2, HELLO[:5], HELLO[5:], HELLO[:2], b"\0" * 5, b"\1")),
    http2.data(3, struct.pack(">BI", 0, 40_000) + bytes(300)),
    http2.frame(http2.DATA, http2.END_STREAM, 1),
    http2.frame(http2.RST_STREAM, 0, 3, bytes(4)),
    http2.frame(http2.WINDOW_UPDATE, 0, 0, bytes(4)),
    http2.frame(http2.PING, payload=bytes(8)),
    http2.open_stream(5, b"\x8f" * 33),
]


@given(st.lists(st.sampled_from(FRAMES)), st.lists(st.integers(1, 40), min_size=1))
def test_it_makes_no_difference_how_the_bytes_are_cut(frames: list[bytes], sizes: list[int]) -> None:
    """What is quick for a frame that comes whole is no other rule."""
    stream = http2.PREFACE + b"".join(frames)
    parts, position = [], 0
    for size in itertools.cycle(sizes):
        if position >= len(stream):
            break
        parts.append(stream[position : position + size])
        position += size
    assert outcome([stream]) == outcome([http2.PREFACE, *frames]) == outcome(parts)


def outcome(parts: list[bytes]) -> tuple[str, int, int]:
    """Why they are refused, or what they cost and how much of them is held."""
    unfinished = Unfinished()
    connection = bounds(unfinished, greeted=False)
    try:
        return "", sum(connection.take(part) for part in parts), unfinished.total
    except LimitExceededError as error:
        return str(error), 0, 0


@given(st.lists(st.sampled_from([b"\x82", b"\x40\x01a\x01b", b"\x00\x01a\x00", b"\x0f\x2f\x02xy", b"\x1f\x09\x00"])))
def test_the_fields_of_a_block_are_counted(fields: list[bytes]) -> None:
    """In every form that HPACK has for one."""
    assert hpack_fields(b"".join(fields)) == len(fields)


def test_what_a_grpc_client_sends_has_few_headers() -> None:
    """A client sends at most ten; no client needs more."""
    assert hpack_fields(http2.call()) == 6
