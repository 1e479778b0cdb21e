"""Parses a page of a list one object after the other, so that only one large object is in memory as a whole.

A JSON text of 1 MB can become 8 MB of Python objects, and every user who may create VMIs decides on their size.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from handler_service.kube.errors import ServerError

_Object = dict[str, Any]

_SPACE: Final = " \t\n\r"


def _no_constant(name: str) -> None:
    """Python reads NaN and Infinity, which JSON does not have."""
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)


def parse(body: bytes, keep: Callable[[_Object], _Object]) -> tuple[list[_Object], _Object]:
    """Return `keep` of each of the page's objects, and the page's metadata; raises ServerError."""
    try:
        return _parse(body.decode(), keep)
    except (ValueError, IndexError, RecursionError) as error:
        raise ServerError("the list is not JSON") from error


def _parse(text: str, keep: Callable[[_Object], _Object]) -> tuple[list[_Object], _Object]:
    items: list[_Object] = []
    metadata: _Object = {}
    position = _expect(text, 0, "{")
    while text[position] != "}":
        key, position = _DECODER.raw_decode(text, position)
        if not isinstance(key, str):
            raise ValueError(f"{key!r} is not a name")  # noqa: TRY004  # of the text, not of an argument
        position = _expect(text, position, ":")
        if key == "items" and text[position] == "[":
            position = _items(text, position, keep, items)
        else:
            value, position = _DECODER.raw_decode(text, position)
            if key == "metadata" and isinstance(value, dict):
                metadata = value
        position = _separator(text, position, "}")
    if _skip(text, position + 1) != len(text):
        raise ValueError("something follows the page")
    return items, metadata


def _items(text: str, position: int, keep: Callable[[_Object], _Object], items: list[_Object]) -> int:
    position = _expect(text, position, "[")
    while text[position] != "]":
        item, position = _DECODER.raw_decode(text, position)
        items.append(keep(item))
        position = _separator(text, position, "]")
    return position + 1


def _separator(text: str, position: int, end: str) -> int:
    """Return the position of the next element, or of `end`; after a comma there is an element."""
    position = _skip(text, position)
    if text[position] == end:
        return position
    position = _expect(text, position, ",")
    if text[position] == end:
        raise ValueError(f"an element is missing at {position}")
    return position


def _expect(text: str, position: int, character: str) -> int:
    position = _skip(text, position)
    if text[position] != character:
        raise ValueError(f"{character} is missing at {position}")
    return _skip(text, position + 1)


def _skip(text: str, position: int) -> int:
    while text[position : position + 1] and text[position] in _SPACE:
        position += 1
    return position
