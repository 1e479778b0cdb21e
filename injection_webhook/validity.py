"""Reads from when to when a certificate is valid. Pure.

Python's `ssl` shows this of a peer's certificate only, and the image has no other library for it. Of X.509 (RFC 5280)
only the beginning is read: version, serial number, algorithm, issuer, validity.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18


@dataclass(frozen=True, slots=True)
class Validity:
    """Wall times, in seconds."""

    begins: float
    ends: float

    def covers(self, now: float) -> bool:
        """Whether a client accepts the certificate at this time."""
        return self.begins <= now <= self.ends


def of_certificate(der: bytes) -> Validity:
    """Return the validity of a certificate in DER; raises ValueError."""
    try:
        (_, certificate), *_rest = _elements(der)
        (_, signed), *_rest = _elements(certificate)
        fields = [content for tag, content in _elements(signed) if tag != _VERSION]
        begins, ends = (_time(tag, content) for tag, content in _elements(fields[3]))
    except (IndexError, ValueError, OverflowError) as error:
        raise ValueError("it is not a certificate") from error
    return Validity(begins, ends)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements that lie in `data`, one after the other; IndexError or ValueError where it ends early."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length >= 0x80:
            size = length - 0x80
            length, at = int.from_bytes(data[at : at + size]), at + size
        if at + length > len(data):
            raise ValueError("an element is cut")
        yield tag, data[at : at + length]
        at += length


def _time(tag: int, content: bytes) -> float:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        # Two digits of the year: RFC 5280 has 50 to 99 for the last century.
        text = ("19" if text >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("it is not a time")
    if len(text) != len("YYYYmmddHHMMSSZ"):
        raise ValueError("it is a time of another form")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
