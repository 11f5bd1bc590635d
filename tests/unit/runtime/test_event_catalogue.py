"""The catalogue of events: what may be told, and that all of it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runtime.events.catalogue import CATALOGUE, Event, fault_of, money
from runtime.events.fields import FIELDS
from tests.tidy.sources import SERVICES, own, strings

ACCOUNT = "acct_0a" + "1" * 32
#: Words that would be somebody's.
PERSONAL = ("name", "email", "phone", "address", "birth", "tax", "descriptor", "pan", "last4")


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_example_is_an_event(name: str) -> None:
    kind = CATALOGUE[name]
    assert fault_of(Event(type=name, time_ms=0, account_id=ACCOUNT, data=kind.example)) == ""
    needed = {field: kind.example[field] for field in kind.fields}
    assert fault_of(Event(type=name, time_ms=0, account_id=ACCOUNT, data=needed)) == ""
    assert kind.meaning.endswith(".")


def test_every_type_is_told_by_somebody() -> None:
    """No type is promised that nothing ever emits."""
    said = {text for path in own(".py", below=SERVICES) for text in strings(path)}
    assert set(CATALOGUE) - said == set()


def test_fields_are_used_and_nobody_s() -> None:
    used = {field for one in CATALOGUE.values() for field in (*one.fields, *one.optional)}
    assert used == set(FIELDS)
    assert not [field for field in FIELDS for word in PERSONAL if word in field.split("_")]


GOOD = Event(
    type="card.frozen",
    time_ms=0,
    account_id=ACCOUNT,
    data={"card_id": "card_0a" + "1" * 32, "kind": "VIRTUAL", "state": "FROZEN"},
)


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        (GOOD, ""),
        (replace(GOOD, type="card.melted"), "not in the catalogue"),
        (replace(GOOD, account_id=""), "belongs to nobody"),
        (replace(GOOD, account_id="", owner_id="usr_0a" + "1" * 32), ""),
        (replace(GOOD, data={"kind": "VIRTUAL", "state": "FROZEN"}), "lacks ['card_id']"),
        (replace(GOOD, data={**GOOD.data, "email": "a@b"}), "no field ['email']"),
        (replace(GOOD, data={**GOOD.data, "card_id": "Ada Lovelace"}), "card_id is no id"),
        (replace(GOOD, data={**GOOD.data, "state": "a\nb"}), "state is no text"),
        (replace(GOOD, data={**GOOD.data, "state": 3}), "state is no text"),
    ],
)
def test_what_does_not_fit_is_refused(event: Event, fault: str) -> None:
    assert fault in fault_of(event)
    assert bool(fault) == bool(fault_of(event))


@pytest.mark.parametrize(
    ("amount", "fits"),
    [
        (money(5, "USD"), True),
        (money(-5, "USD"), True),
        (money(2**53, "USD"), False),
        ({"amount_minor": 5}, False),
        ({"amount_minor": 5.0, "currency_code": "USD"}, False),
        ({"amount_minor": 5, "currency_code": "usd"}, False),
        (5, False),
    ],
)
def test_amounts_are_whole(amount: Any, fits: bool) -> None:
    data = {"credit_limit": amount, "previous_credit_limit": money(1, "USD")}
    event = Event(type="account.limit_changed", time_ms=0, account_id=ACCOUNT, data=data)
    assert (fault_of(event) == "") is fits
