"""A possible v1.9: each message, enum and oneof of v1 with additions.

Built from the released descriptor, so that its bytes are those of code from a real compiler.
"""

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from tests.skew import golden

FIELD = 999
ARM = 31
VALUE = 77
FEATURES = ("identified-sessions", "reports-in-verse")


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    files = golden.released()
    for file in files.file:
        if file.package == golden.PACKAGE:
            for enum in file.enum_type:
                enum.value.add(name=f"{enum.name}_LATER", number=VALUE)
            for message in file.message_type:
                _extend(message)
    return golden.pool_of(files)


def _extend(message: descriptor_pb2.DescriptorProto) -> None:
    text = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
    optional = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    message.field.add(name="later", number=FIELD, type=text, label=optional)
    if message.oneof_decl:
        message.field.add(name="later_arm", number=ARM, type=text, label=optional, oneof_index=0)


def new(name: str, **fields: Any) -> Any:
    """Make a message of v1.9. A dict becomes the message of its field."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{golden.PACKAGE}.{name}"))(**fields)


def with_more(message: Message) -> Message:
    """Return the same with a value in each field that v1 does not have, in all messages that it contains."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.full_name.startswith(golden.PACKAGE):
            for one in value if field.is_repeated else [value]:
                with_more(one)
    message.later = "later"  # type: ignore[attr-defined]
    return message


def request(**arm: Any) -> bytes:
    """Return what a v1.9 agent sends."""
    return with_more(new("ReportSessionsRequest", **arm)).SerializeToString()


def response(**arm: Any) -> bytes:
    """Return what a v1.9 handler sends."""
    return with_more(new("ReportSessionsResponse", **arm)).SerializeToString()
