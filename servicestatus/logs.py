"""One log line for each record, on standard error, as text or as JSON.

Invariant: whatever a peer sent, a record is one line of printable characters, so nobody forges a line, moves the
cursor of a terminal, or hides text. Escaping is done here, once, for every record.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Final, TextIO

from servicestatus.rate_limit import TokenBucket

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")

#: A record is cut here. A peer's text is bounded to 256 bytes before it is logged; the rest is ours.
_MAX_CHARACTERS: Final = 4096
#: gRPC logs a traceback for each call whose peer hangs up at the wrong moment: so many at once, then one in a minute.
_LIBRARIES: Final = frozenset({"asyncio", "grpc"})
_LIBRARY_BURST: Final = 5
_LIBRARY_INTERVAL: Final = 60.0


def printable(text: str) -> str:
    """`text` with every character that is not printable escaped, cut at 4096 characters."""
    cut = text if len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


class _Formatter(logging.Formatter):
    def _fields(self, record: logging.LogRecord) -> tuple[str, str]:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        return when.replace("+00:00", "Z"), printable(message)


class TextFormatter(_Formatter):
    """`2026-01-31T12:00:00.000Z WARNING launcher_agent.reporting.stream: message`."""

    def format(self, record: logging.LogRecord) -> str:
        when, message = self._fields(record)
        return f"{when} {record.levelname} {record.name}: {message}"


class JSONFormatter(_Formatter):
    """One JSON object with `time`, `level`, `logger` and `message`."""

    def format(self, record: logging.LogRecord) -> str:
        when, message = self._fields(record)
        return json.dumps({"time": when, "level": record.levelname.lower(), "logger": record.name, "message": message})


class _Sparing(logging.Filter):
    """Lets through a few of a library's records: what it has to say of a peer, it says as often as the peer likes."""

    def __init__(self) -> None:
        super().__init__()
        self._bucket = TokenBucket(_LIBRARY_BURST, _LIBRARY_INTERVAL)

    def filter(self, record: logging.LogRecord) -> bool:
        library = record.name.partition(".")[0] in _LIBRARIES
        return not library or self._bucket.take(record.created)


def setup(level: str, format_: str, stream: TextIO | None = None) -> None:
    """Send all records of at least `level` (of LEVELS) to `stream`, or standard error, in `format_` (of FORMATS)."""
    handler = logging.StreamHandler(stream)
    handler.addFilter(_Sparing())
    handler.setFormatter(JSONFormatter() if format_ == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
