"""A dialogue as text: one line for each message, with its bytes and their meaning, and for each event.

    agent    0a0e...  hello { instance: "..." }
    handler  0a22...  welcome { ... }
    event    viewer

A `lost` message is one that the agent sent and the handler did not receive.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from google.protobuf import text_format
from google.protobuf.message import Message

from servicestatus.v1 import session_report_service_pb2 as pb

Who = Literal["agent", "lost", "handler", "event"]
FIRST_RELEASE = Path(__file__).parent / "v1" / "dialogue.txt"


@dataclass(frozen=True)
class Line:
    who: Who
    #: The bytes; empty for an event.
    said: bytes
    #: In protobuf's text format, or the event's text.
    meaning: str

    @property
    def request(self) -> pb.ReportSessionsRequest:
        assert self.who in ("agent", "lost")
        return pb.ReportSessionsRequest.FromString(self.said)

    @property
    def response(self) -> pb.ReportSessionsResponse:
        assert self.who == "handler"
        return pb.ReportSessionsResponse.FromString(self.said)


def written(who: Who, message: Message) -> str:
    said = message.SerializeToString(deterministic=True)
    return f"{who:<8} {said.hex() or '-'}  {text_format.MessageToString(message, as_one_line=True)}".rstrip()


def read(path: Path = FIRST_RELEASE) -> Iterator[Line]:
    for text in path.read_text().splitlines():
        if not text or text.startswith("#"):
            continue
        who, _, rest = text.partition(" ")
        rest = rest.strip()
        if who == "event":
            yield Line("event", b"", rest)
        elif who in ("agent", "lost", "handler"):
            said, _, meaning = rest.partition("  ")
            yield Line(who, bytes.fromhex(said.removeprefix("-")), meaning)  # type: ignore[arg-type]
        else:
            raise AssertionError(text)
