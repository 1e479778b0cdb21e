"""Decodes answers of QEMU's monitor (QMP) to their first layer. Pure.

An answer is checked as untrusted input: the guest may have taken over QEMU.
"""

import json
from typing import Final, TypeVar

from launcher_agent.errors import QueryError

T = TypeVar("T")

#: A VNC client takes about 120 characters, so this has room for more clients than can be counted.
_MAX_CHARACTERS: Final = 16 * 1024 * 1024


def returned(answer: str, kind: type[T]) -> T:
    """Return what a command returned. QueryError."""
    if len(answer) > _MAX_CHARACTERS:
        raise QueryError(f"the answer has {len(answer)} characters")
    try:
        reply = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise QueryError(f"the answer is not JSON: {error}") from error
    return member(reply, "return", kind)


def member(value: object, name: str, kind: type[T]) -> T:
    """Return a member of an object. QueryError."""
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, kind):
        raise QueryError(f"the answer has no {name!r}")
    return found
