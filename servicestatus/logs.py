"""Writes one line for each log record on standard error, as text or as JSON, with the VMI and the pod as fields.

A record that concerns a VMI or a pod names it by `fields`, and not in its message:

    log.warning("no report for %d s", seconds, extra=logs.fields(vmi=endpoint.vmi, pod=endpoint.pod_uid))

The text form ends in ` vmi=default/vm pod=0b5e...`; the JSON object has the members `vmi` and `pod`. A pipeline can
filter by them. A field that is empty is left out.

Invariant: whatever a peer sent, a record is one line of printable characters, so that no peer can forge a line, move
the cursor of a terminal, or hide text. Messages and fields are escaped here, once, for every record.
"""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from servicestatus.rate_limit import TokenBucket

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")

#: A message is cut here. A peer's text is bounded to 256 bytes before it is logged; the rest is the program's own.
_MAX_CHARACTERS: Final = 4096
_FIELDS: Final = "fields"
_UNSAFE: Final = re.compile(r'[\s="]')
#: gRPC logs a traceback for each call whose peer hangs up at the wrong moment: five at once, then one in a minute.
_LIBRARIES: Final = frozenset({"asyncio", "grpc"})
_LIBRARY_BURST: Final = 5
_LIBRARY_INTERVAL: Final = 60.0


def printable(text: str) -> str:
    """Return `text` with every character that is not printable escaped, cut at 4096 characters."""
    cut = text if len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


def fields(*, vmi: object = "", pod: str = "") -> dict[str, Any]:
    """Return the `extra` of a record about a VMI (shown as `NAMESPACE/NAME`), a pod (its UID), or both."""
    named = {"vmi": str(vmi), "pod": pod}
    return {_FIELDS: {name: value for name, value in named.items() if value}}


def _fields_of(record: logging.LogRecord) -> dict[str, str]:
    found: dict[str, str] = getattr(record, _FIELDS, {})
    return {name: printable(value) for name, value in found.items()}


def _quoted(value: str) -> str:
    """Return a field's value for a text line, quoted if a reader could mistake its end."""
    return json.dumps(value, ensure_ascii=False) if _UNSAFE.search(value) else value


class _Formatter(logging.Formatter):
    def _time_and_message(self, record: logging.LogRecord) -> tuple[str, str]:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        return when.replace("+00:00", "Z"), printable(message)


class TextFormatter(_Formatter):
    """`2026-01-31T12:00:00.000Z WARNING launcher_agent.reporting.stream: message vmi=default/vm pod=0b5e...`."""

    def format(self, record: logging.LogRecord) -> str:
        when, message = self._time_and_message(record)
        named = "".join(f" {name}={_quoted(value)}" for name, value in _fields_of(record).items())
        return f"{when} {record.levelname} {record.name}: {message}{named}"


class JSONFormatter(_Formatter):
    """One JSON object with `time`, `level`, `logger`, `message`, and the record's fields."""

    def format(self, record: logging.LogRecord) -> str:
        when, message = self._time_and_message(record)
        line = {"time": when, "level": record.levelname.lower(), "logger": record.name, "message": message}
        return json.dumps(line | _fields_of(record))


class _Sparing(logging.Filter):
    """Passes a few of a library's records: a peer decides how often a library logs its failures."""

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
