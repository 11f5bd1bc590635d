"""What the audit log keeps of a message: no secret, and nothing personal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.type.v1.options_pb2 import sensitive
from runtime.audit.entry import TARGETS_MAX
from runtime.clock import datetime_of

REDACTED = "[redacted]"
#: A field with one of these words in its name is never kept, whether or not the contract says that
#: it is sensitive. Short words stand for themselves: `pan` is not `company`.
PRIVATE_WORDS = frozenset(
    {
        "password", "secret", "token", "otp", "pin", "pan", "cvv", "cvc", "ssn", "tin", "tax",
        "name", "names", "email", "phone", "address", "street", "postcode", "birth", "birthday",
        "dob", "income", "iban", "hash", "signature", "passphrase", "credential", "cookie",
    }
)  # fmt: skip
#: Longer texts are no ids and no states.
_TEXT_MAX = 256
_ID_LENGTH_MAX = 128


def redacted(message: Message) -> dict[str, Any]:
    """The fields of a message that are set, by name, private ones replaced."""
    return {field.name: _value(field, value) for field, value in message.ListFields()}


def ids_in(*messages: Message) -> tuple[str, ...]:
    """The ids that messages name, themselves and in their parts: what a call is about."""
    found = dict.fromkeys(one for message in messages for one in _ids(message))
    return tuple(found)[:TARGETS_MAX]


def is_private(field: FieldDescriptor) -> bool:
    """True for a field whose values are never recorded."""
    if field.GetOptions().Extensions[sensitive]:
        return True
    return not PRIVATE_WORDS.isdisjoint(field.name.split("_"))


def _value(field: FieldDescriptor, value: Any) -> Any:
    if is_private(field):
        return REDACTED
    if not field.is_repeated:
        return _one(field, value)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        # Its keys are no names of ours: nobody has said what may stand in them.
        return REDACTED
    return [_one(field, one) for one in value]


def _one(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Timestamp):
        return datetime_of(value.ToMilliseconds()).isoformat()
    if isinstance(value, Message):
        if value.DESCRIPTOR.full_name.startswith("google.protobuf."):
            return REDACTED
        return redacted(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    if isinstance(value, bytes):
        return REDACTED
    if isinstance(value, str) and len(value) > _TEXT_MAX:
        return value[:_TEXT_MAX] + "…"
    return value


def _ids(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.message_type is not None:
            parts = value if field.is_repeated else (value,)
            if field.message_type.GetOptions().map_entry:
                continue
            for part in parts:
                yield from _ids(part)
        elif _names_one(field) and not is_private(field):
            for text in value if field.is_repeated else (value,):
                if isinstance(text, str) and 0 < len(text) <= _ID_LENGTH_MAX:
                    yield text


def _names_one(field: FieldDescriptor) -> bool:
    name = field.name
    return name != "request_id" and (name == "id" or name.endswith(("_id", "_ids")))
