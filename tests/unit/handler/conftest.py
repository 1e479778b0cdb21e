"""What the tests of the handler share: names of parameters that are protobuf messages."""

import zlib
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.text_format import MessageToString

_LONGEST_NAME = 60


def pytest_make_parametrize_id(config: pytest.Config, val: Any, argname: str) -> str | None:
    """A message, or a list of messages, is named by what it says."""
    messages = val if isinstance(val, list) else [val]
    if not messages or not all(isinstance(message, Message) for message in messages):
        return None
    text = (
        " ".join(MessageToString(message, as_one_line=True, print_unknown_fields=True) for message in messages)
        or "empty"
    )
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}...{zlib.crc32(text.encode()):08x}"
