"""What the audit log keeps of a message: no secret, and nothing personal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.type.v1.options_pb2 import sensitive
from runtime.audit.entry import TARGETS_MAX
from runtime.clock import datetime_of
from runtime.ids import is_any_id
from runtime.luhn import is_luhn

REDACTED = "[redacted]"
#: A field with one of these words in its name is never kept, whether or not the contract says that
#: it is sensitive. Short words stand for themselves: `pan` is not `company`.
PRIVATE_WORDS = frozenset(
    {
        "password", "secret", "token", "otp", "pin", "pan", "cvv", "cvc", "ssn", "tin", "tax",
        "name", "names", "email", "phone", "address", "street", "postcode", "birth", "birthday",
        "dob", "income", "iban", "hash", "signature", "passphrase", "credential", "cookie",
        "nickname", "tracking",
    }
)  # fmt: skip
#: Longer texts are no ids and no states.
_TEXT_MAX = 256
#: What merchants and others of no kind of ours are called. In the fields of ids stands whatever a
#: caller sent, also if it was refused for that: an address, a card's number, a password.
_OTHER_ID = re.compile(r"[a-z]{2,12}_[A-Za-z0-9_-]{1,60}")
#: Runs of digits in it that may be a card's number.
_LONG_NUMBER = re.compile(r"[0-9]{13,}")
_CARD_DIGITS_MAX = 19


def redacted(message: Message) -> dict[str, Any]:
    """The fields of a message that are set, by name, private ones replaced."""
    return {field.name: _value(field, value) for field, value in message.ListFields()}


def ids_in(*messages: Message) -> tuple[str, ...]:
    """The ids that messages name, themselves and in their parts: what a call is about. Whatever
    else stands in their places is left out.
    """
    found = dict.fromkeys(
        one for message in messages for one in _ids(message) if looks_like_id(one)
    )
    return tuple(found)[:TARGETS_MAX]


def looks_like_id(text: str) -> bool:
    """Whether a text is an id of ours or may be one of others, and no card's number."""
    if is_any_id(text):
        return True
    long = _LONG_NUMBER.findall(text)
    return _OTHER_ID.fullmatch(text) is not None and not any(map(_may_be_card, long))


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
    for name, is_repeated, is_part in _places(message.DESCRIPTOR):
        if not is_repeated and is_part and not message.HasField(name):
            continue
        value = getattr(message, name)
        for one in value if is_repeated else (value,):
            if is_part:
                yield from _ids(one)
            elif one:
                yield one


def _may_be_card(digits: str) -> bool:
    """Also of numbers that are too long: one may be within."""
    return is_luhn(digits) or len(digits) > _CARD_DIGITS_MAX


@cache
def _places(descriptor: Descriptor) -> tuple[tuple[str, bool, bool], ...]:
    """The fields of a kind of message that are ids, or have parts with ids: name, whether it is
    repeated, whether it is a part. An import has thousands of parts, and none with an id.
    """
    return tuple(
        (field.name, field.is_repeated, field.message_type is not None)
        for field in sorted(descriptor.fields, key=lambda field: field.number)
        if _is_id(field) or (field.message_type is not None and _names_ids(field.message_type))
    )


@cache
def _names_ids(descriptor: Descriptor) -> bool:
    """Whether a message of this kind, or a part of it, may have an id."""
    return _reaches_id(descriptor, set())


def _reaches_id(descriptor: Descriptor, seen: set[str]) -> bool:
    if descriptor.full_name in seen or descriptor.GetOptions().map_entry:
        return False
    seen.add(descriptor.full_name)
    return any(
        _is_id(field) or (field.message_type is not None and _reaches_id(field.message_type, seen))
        for field in descriptor.fields
    )


def _is_id(field: FieldDescriptor) -> bool:
    name = field.name
    named = name == "id" or name.endswith(("_id", "_ids"))
    is_text = bool(field.type == FieldDescriptor.TYPE_STRING)
    return named and name != "request_id" and is_text and not is_private(field)
