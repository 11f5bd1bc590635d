"""Messages of the contract as JSON Schema: proto JSON, with the names that fields have there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from runtime.openapi import examples

Schema = dict[str, Any]

#: Numbers of the lists in FileDescriptorProto, DescriptorProto and the others: paths of comments
#: are made of them.
_FILE_MESSAGES, _FILE_ENUMS, _FILE_SERVICES = 4, 5, 6
_FIELDS, _NESTED, _ENUMS, _VALUES, _METHODS = 2, 3, 4, 2, 2

_INT64 = {
    "type": "string",
    "format": "int64",
    "pattern": "^-?[0-9]{1,19}$",
}
_SCALARS: Mapping[int, Schema] = {
    FieldDescriptorProto.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptorProto.TYPE_STRING: {"type": "string"},
    FieldDescriptorProto.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptorProto.TYPE_INT32: {
        "type": "integer",
        "format": "int32",
        "minimum": -(2**31),
        "maximum": 2**31 - 1,
    },
    FieldDescriptorProto.TYPE_INT64: _INT64,
}
_WELL_KNOWN: Mapping[str, Schema] = {
    ".google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$",
        "examples": ["3600s"],
    },
}
#: What else holds of all fields of these names in requests.
_BY_NAME: Mapping[str, Schema] = {
    "request_id": {"pattern": "^[A-Za-z0-9._:-]{0,64}$"},
    "page_size": {"minimum": 0},
}


def name_of(full_name: str) -> str:
    """`.holdfast.accounts.v1.Account` → `accounts.v1.Account`."""
    return full_name.lstrip(".").removeprefix("holdfast.")


class Comments:
    """What protos say of their elements, by full name."""

    def __init__(self, descriptors: FileDescriptorSet) -> None:
        self._texts: dict[str, str] = {}
        for file in descriptors.file:
            names = dict(_paths(file))
            for location in file.source_code_info.location:
                name = names.get(tuple(location.path))
                if name is not None:
                    self._texts[name] = _text(location.leading_comments)

    def of(self, full_name: str) -> str:
        """The comment; empty if there is none."""
        return self._texts.get(full_name, "")


def _text(comment: str) -> str:
    """Paragraphs without the protos' line ends."""
    paragraphs = "\n".join(line.strip() for line in comment.strip().split("\n")).split("\n\n")
    return "\n\n".join(
        text if text.startswith("- ") else text.replace("\n", " ") for text in paragraphs
    )


def _paths(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    base = f".{file.package}"
    for number, message in enumerate(file.message_type):
        yield from _message_paths(message, (_FILE_MESSAGES, number), base)
    for number, enum in enumerate(file.enum_type):
        yield from _enum_paths(enum, (_FILE_ENUMS, number), base)
    for number, service in enumerate(file.service):
        yield (_FILE_SERVICES, number), f"{base}.{service.name}"
        for position, method in enumerate(service.method):
            path = (_FILE_SERVICES, number, _METHODS, position)
            yield path, f"{base}.{service.name}.{method.name}"


def _message_paths(
    message: DescriptorProto, path: tuple[int, ...], base: str
) -> Iterator[tuple[tuple[int, ...], str]]:
    name = f"{base}.{message.name}"
    yield path, name
    for number, field in enumerate(message.field):
        yield (*path, _FIELDS, number), f"{name}.{field.name}"
    for number, nested in enumerate(message.nested_type):
        yield from _message_paths(nested, (*path, _NESTED, number), name)
    for number, enum in enumerate(message.enum_type):
        yield from _enum_paths(enum, (*path, _ENUMS, number), name)


def _enum_paths(
    enum: EnumDescriptorProto, path: tuple[int, ...], base: str
) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, f"{base}.{enum.name}"
    for number, value in enumerate(enum.value):
        yield (*path, _VALUES, number), f"{base}.{enum.name}.{value.name}"


class Schemas:
    """Schemas of the messages that somebody has asked for, and of all that they have."""

    def __init__(self, descriptors: FileDescriptorSet) -> None:
        self.comments = Comments(descriptors)
        self._messages: dict[str, DescriptorProto] = {}
        self._enums: dict[str, EnumDescriptorProto] = {}
        #: By name, for `components`.
        self.components: dict[str, Schema] = {}
        for file in descriptors.file:
            for enum in file.enum_type:
                self._enums[f".{file.package}.{enum.name}"] = enum
            for message in file.message_type:
                self._learn(message, f".{file.package}")

    def _learn(self, message: DescriptorProto, base: str) -> None:
        name = f"{base}.{message.name}"
        self._messages[name] = message
        for enum in message.enum_type:
            self._enums[f"{name}.{enum.name}"] = enum
        for nested in message.nested_type:
            self._learn(nested, name)

    def fields(self, full_name: str) -> dict[str, FieldDescriptorProto]:
        """The fields of a message by name."""
        return {field.name: field for field in self._messages[full_name].field}

    def values(self, full_name: str) -> list[str]:
        """The names that an enum has."""
        return [value.name for value in self._enums[full_name].value]

    def reference(self, full_name: str) -> Schema:
        """A reference to a component, which is made if need be."""
        name = name_of(full_name)
        if name not in self.components:
            self.components[name] = {}  # a message may have itself
            is_enum = full_name in self._enums
            made = self._enum(full_name) if is_enum else self.message(full_name)
            self.components[name] = made
        return {"$ref": f"#/components/schemas/{name}"}

    def message(self, full_name: str, *, without: frozenset[str] = frozenset()) -> Schema:
        """The schema of a message; of a request without what its path has."""
        fields = [one for name, one in self.fields(full_name).items() if name not in without]
        schema: Schema = {"type": "object", "description": self.comments.of(full_name)}
        schema["properties"] = {one.name: self.field(full_name, one) for one in fields}
        if required := [one.name for one in fields if is_required(one)]:
            schema["required"] = required
        return schema

    def field(self, message: str, field: FieldDescriptorProto) -> Schema:
        """The schema of a field with its comment."""
        one = self._value(field)
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            one = {"type": "array", "items": one}
        if message.endswith("Request"):
            one |= _BY_NAME.get(field.name, {})
        described = {**one, "description": self.comments.of(f"{message}.{field.name}")}
        example = examples.of_field(message, field)
        if isinstance(example, str) and one.get("type") == "string":
            described["examples"] = [example]
        return described

    def _value(self, field: FieldDescriptorProto) -> Schema:
        if field.type in _SCALARS:
            return dict(_SCALARS[field.type])
        if field.type_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[field.type_name])
        assert not field.type_name.startswith(".google."), f"{field.type_name} has no schema yet"
        return self.reference(field.type_name)

    def _enum(self, full_name: str) -> Schema:
        values = self.values(full_name)
        meanings = [f"- `{value}`: {self.comments.of(f'{full_name}.{value}')}" for value in values]
        text = "\n".join((self.comments.of(full_name), "", *meanings))
        return {"type": "string", "description": text, "enum": values}


def is_required(field: FieldDescriptorProto) -> bool:
    """True if a request is refused without the field. Its id may come in a header instead."""
    behaviour = field.options.Extensions[field_behavior_pb2.field_behavior]
    return field_behavior_pb2.REQUIRED in behaviour and field.name != "request_id"
