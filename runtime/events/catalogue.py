"""Every type of event there is, and what its data say: the one list. No I/O, no clock, no grpc.

An event is told to customers, so its data are ids, amounts, times and words of the contract, never
anything personal. Types and fields are added, never changed: programs read them (docs/EVENTS.md).
The types stand in `about_*.py`, their fields in `fields.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from runtime.events.about_accounts import ACCOUNTS
from runtime.events.about_cards import CARDS
from runtime.events.about_others import OTHERS
from runtime.events.about_payments import PAYMENTS
from runtime.events.event_type import EventType
from runtime.events.fields import FIELDS, Kind
from runtime.money import AMOUNT_MINOR_LIMIT

_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?Z")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ID = re.compile(r"[a-z]+_[a-z0-9_]{1,64}")
#: Words of the contract, and ids that others gave: a merchant's, a network's.
_TEXT = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,99}")

_ALL = (*ACCOUNTS, *CARDS, *PAYMENTS, *OTHERS)

#: By name, in the order of the page.
CATALOGUE: Mapping[str, EventType] = MappingProxyType(
    {one.name: one for one in sorted(_ALL, key=lambda one: one.name.partition(".")[0])}
)
assert len(CATALOGUE) == len(_ALL), "a type stands twice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened. Ids that do not apply are empty."""

    type: str
    time_ms: int
    account_id: str = ""
    #: Who owns the account, or is the person; empty: whoever owns the account, asked for later.
    owner_id: str = ""
    #: The person that it is about, or whose card it is.
    user_id: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


def is_text(value: str) -> bool:
    """Whether a text of others may stand in events' data."""
    return _TEXT.fullmatch(value) is not None


def money(amount_minor: int, currency_code: str) -> dict[str, Any]:
    """An amount as events say it."""
    return {"amount_minor": amount_minor, "currency_code": currency_code}


def fault_of(event: Event) -> str:
    """What is wrong with an event; empty if nothing is."""
    kind = CATALOGUE.get(event.type)
    if kind is None:
        return f"{event.type} is not in the catalogue"
    if not (event.account_id or event.owner_id):
        return f"{event.type} belongs to nobody"
    if missing := set(kind.fields) - set(event.data):
        return f"{event.type} lacks {sorted(missing)}"
    if unknown := set(event.data) - {*kind.fields, *kind.optional}:
        return f"{event.type} has no field {sorted(unknown)}"
    for name, value in event.data.items():
        if not _fits(FIELDS[name].kind, value):
            return f"{event.type}: {name} is no {FIELDS[name].kind}"
    return ""


def _fits(kind: Kind, value: Any) -> bool:
    match kind:
        case Kind.MONEY:
            return _is_money(value)
        case Kind.NUMBER:
            return isinstance(value, int) and not isinstance(value, bool)
    pattern = {Kind.ID: _ID, Kind.TEXT: _TEXT, Kind.TIME: _INSTANT, Kind.DATE: _DAY}[kind]
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_money(value: Any) -> bool:
    if not isinstance(value, Mapping) or set(value) != {"amount_minor", "currency_code"}:
        return False
    amount_minor, currency_code = value["amount_minor"], value["currency_code"]
    return (
        isinstance(amount_minor, int)
        and abs(amount_minor) < AMOUNT_MINOR_LIMIT
        and isinstance(currency_code, str)
        and re.fullmatch("[A-Z]{3}", currency_code) is not None
    )
