"""Each message of a release with a value in each of its fields, as bytes and by the names of the fields."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

FIRST_RELEASE = Path(__file__).parent / "v1" / "messages.json"
DESCRIPTOR = Path(__file__).parents[2] / "proto" / "released" / "v1.binpb"
PACKAGE = "servicestatus.v1"


def released() -> descriptor_pb2.FileDescriptorSet:
    return descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR.read_bytes())


def pool_of(files: descriptor_pb2.FileDescriptorSet) -> descriptor_pool.DescriptorPool:
    """A descriptor pool of its own, so that another version can exist next to the generated code."""
    pool = descriptor_pool.DescriptorPool()
    waiting = {file.name: file for file in files.file}

    def add(name: str) -> None:
        file = waiting.pop(name, None)
        if file is not None:
            for dependency in file.dependency:
                add(dependency)
            pool.Add(file)

    for name in list(waiting):
        add(name)
    return pool


def messages(files: descriptor_pb2.FileDescriptorSet) -> Iterator[str]:
    """The full names of all messages of the API."""
    for file in files.file:
        if file.package == PACKAGE:
            yield from (f"{PACKAGE}.{message.name}" for message in file.message_type)


def filled(descriptor: Descriptor, arm: str | None = None, depth: int = 0) -> Message:
    """Set each field; of a oneof set `arm`, or otherwise its first field."""
    message = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        chosen = field.containing_oneof is None or field.name == (arm or field.containing_oneof.fields[0].name)
        if chosen and depth < 5:
            _fill(message, field, depth)
    return message


def _fill(message: Message, field: FieldDescriptor, depth: int) -> None:
    values = [_value(field, depth, 0), _value(field, depth, 1)] if field.is_repeated else [_value(field, depth, 0)]
    target = getattr(message, field.name)
    if field.is_repeated:
        target.extend(values)
    elif field.message_type is not None:
        target.CopyFrom(values[0])
        target.SetInParent()
    else:
        setattr(message, field.name, values[0])


def _value(field: FieldDescriptor, depth: int, turn: int) -> Any:
    """The value identifies the field."""
    if field.message_type is not None:
        if field.message_type.full_name.startswith("google.protobuf."):
            return message_factory.GetMessageClass(field.message_type)(seconds=100 + field.number, nanos=5000)
        return filled(field.message_type, depth=depth + 1)
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    if field.type == FieldDescriptor.TYPE_STRING:
        return f"{field.name}-{turn}"
    if field.type == FieldDescriptor.TYPE_BOOL:
        return True
    return 1000 * field.number + turn


def make() -> list[dict[str, Any]]:
    """Make all messages, those with a oneof once for each arm."""
    files = released()
    pool = pool_of(files)
    found = []
    for name in messages(files):
        descriptor = pool.FindMessageTypeByName(name)
        arms: list[str | None] = [field.name for oneof in descriptor.oneofs for field in oneof.fields] or [None]
        for arm in arms:
            message = filled(descriptor, arm)
            said = message.SerializeToString(deterministic=True).hex()
            means = json_format.MessageToDict(message, preserving_proto_field_name=True)
            found.append({"message": name, "bytes": said, "means": means})
    return found
