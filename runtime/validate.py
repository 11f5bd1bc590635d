"""Checks of request fields: `Violations` collects every wrong field, then refuses them all."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import TYPE_CHECKING, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from runtime import ids
from runtime.errors import InvalidArgument, Violation
from runtime.money import AMOUNT_MINOR_LIMIT, is_currency

if TYPE_CHECKING:
    from google.protobuf.message import Message

_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

#: Timestamps outside 2000-01-01 to 2100-01-01 are mistakes.
_EARLIEST_S = 946_684_800
_LATEST_S = 4_102_444_800
_NANOS_PER_S = 1_000_000_000

#: Characters of a decimal text, e.g. a conversion rate.
_DECIMAL_LENGTH_MAX = 20


class MoneyMessage(Protocol):
    """What `holdfast.type.v1.Money` offers."""

    currency_code: str
    amount_minor: int


class Violations:
    """Collects wrong fields; `raise_if_any` refuses the request with all of them at once."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []

    def add(self, field: str, description: str) -> None:
        """Records one wrong field."""
        self._violations.append(Violation(field, description))

    @property
    def found(self) -> tuple[Violation, ...]:
        """Every wrong field so far."""
        return tuple(self._violations)

    def raise_if_any(self) -> None:
        """Raises InvalidArgument if a field was wrong."""
        if self._violations:
            raise InvalidArgument.of(self._violations)

    def request_id(self, value: str) -> None:
        """Required; 1 to 64 characters of `[A-Za-z0-9._:-]`."""
        if not ids.is_request_id(value):
            self.add("request_id", "is required: 1 to 64 characters of A-Z a-z 0-9 . _ : -")

    def id(self, field: str, value: str, *prefixes: str, required: bool = True) -> None:
        """An id with one of these prefixes."""
        if not value and not required:
            return
        if not ids.is_id(value, *prefixes):
            names = " or ".join(f"{prefix}_" for prefix in prefixes)
            self.add(field, f"must be an id that starts with {names}" if value else "is required")

    def text(self, field: str, value: str, *, limit: int, required: bool = False) -> None:
        """At most `limit` characters, none of them a control character."""
        if value and len(value) <= limit and value.isprintable():
            return
        if required and not value:
            self.add(field, "is required")
        elif len(value) > limit:
            self.add(field, f"must have at most {limit} characters")
        elif _CONTROL.search(value):
            self.add(field, "must not contain control characters")

    def pattern(self, field: str, value: str, pattern: re.Pattern[str], description: str) -> None:
        """Empty, or a full match of `pattern`."""
        if value and not pattern.fullmatch(value):
            self.add(field, description)

    def money(
        self, field: str, parent: Message, *, minimum: int = 0, required: bool = True
    ) -> None:
        """A Money field of `parent`: known currency, `minimum` ≤ amount < 2^53."""
        name = field.rpartition(".")[2]
        if not parent.HasField(name):
            if required:
                self.add(field, "is required")
            return
        value: MoneyMessage = getattr(parent, name)
        currency_code = value.currency_code
        if not currency_code:
            self.add(f"{field}.currency_code", "is required")
        elif not is_currency(currency_code):
            self.add(f"{field}.currency_code", "must be an ISO 4217 currency code, e.g. USD")
        if not minimum <= value.amount_minor < AMOUNT_MINOR_LIMIT:
            self.add(
                f"{field}.amount_minor",
                f"must be at least {minimum} and below 2^53 (minor units)",
            )

    def decimal(self, field: str, value: str) -> None:
        """Empty, or a positive decimal of at most 20 characters."""
        if value and (
            len(value) > _DECIMAL_LENGTH_MAX
            or not _DECIMAL.fullmatch(value)
            or not _is_positive(value)
        ):
            self.add(field, "must be a positive decimal of at most 20 characters, e.g. 0.913200")

    def timestamp(self, field: str, parent: Message) -> None:
        """Absent, or an instant between 2000 and 2100."""
        name = field.rpartition(".")[2]
        if not parent.HasField(name):
            return
        value: Timestamp = getattr(parent, name)
        if not _EARLIEST_S <= value.seconds < _LATEST_S or not 0 <= value.nanos < _NANOS_PER_S:
            self.add(field, "must be a time between 2000-01-01 and 2100-01-01")

    def enum(
        self, field: str, value: int, known: Container[int], *, required: bool = False
    ) -> None:
        """A number that the contract knows; `required` refuses 0."""
        if required and value == 0:
            self.add(field, "is required")
        elif value not in known:
            self.add(field, "is not a known value")

    def page_size(self, value: int) -> None:
        """Not negative."""
        if value < 0:
            self.add("page_size", "must not be negative")


def _is_positive(value: str) -> bool:
    """True unless a decimal text is zero."""
    return value.strip("0.") != ""


def milliseconds(value: Timestamp) -> int:
    """A validated Timestamp as milliseconds since 1970."""
    return value.seconds * 1000 + value.nanos // 1_000_000


def timestamp(ms: int) -> Timestamp:
    """Milliseconds since 1970 as a Timestamp."""
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)
