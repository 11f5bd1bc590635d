"""Entries of the ledger as events."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.authz.v1 import ledger_pb2
from notify.from_ledger import PASSED_OVER, TYPES, LedgerEntry, event_of
from runtime.events.catalogue import fault_of, money

ENTRY = LedgerEntry(
    id="ent_0a" + "1" * 32,
    type="AUTHORIZATION",
    account_id="acct_0a" + "2" * 32,
    card_id="card_0a" + "3" * 32,
    user_id="usr_0a" + "4" * 32,
    company_id="",
    authorization_id="auth_0a" + "5" * 32,
    payment_id="pay_0a" + "6" * 32,
    related_entry_id="",
    amount_minor=4_250,
    requested_minor=0,
    available_minor=-50,
    currency_code="USD",
    decline_reason="INSUFFICIENT_FUNDS",
    merchant_id="mer_1",
    category_code="5812",
    country_code="USA",
    record_time_ms=7,
)


def test_every_type_of_entry_is_news_or_passed_over() -> None:
    known = {value.name.removeprefix("TYPE_") for value in ledger_pb2.Entry.Type.DESCRIPTOR.values}
    known.remove("UNSPECIFIED")
    assert known == set(TYPES) | PASSED_OVER
    assert not set(TYPES) & PASSED_OVER


@pytest.mark.parametrize("kind", TYPES)
def test_each_is_an_event_of_the_catalogue(kind: str) -> None:
    event = event_of(replace(ENTRY, type=kind, related_entry_id="ent_0a" + "7" * 32))
    assert event is not None
    assert fault_of(event) == ""
    assert event.type == TYPES[kind]
    assert event.time_ms == 7
    assert event.data["amount"] == money(4_250, "USD")
    assert event.data["available_credit"] == money(-50, "USD")


@pytest.mark.parametrize("kind", ["DECLINE", "INCREMENT_DECLINE"])
def test_declines_say_what_was_asked_for(kind: str) -> None:
    declined = replace(ENTRY, type=kind, amount_minor=0, requested_minor=4_250)
    event = event_of(declined)
    assert event is not None
    assert fault_of(event) == ""
    assert event.data["amount"] == money(0, "USD")
    assert event.data["requested_amount"] == money(4_250, "USD")
    silent = event_of(replace(declined, requested_minor=0))
    assert silent is not None
    assert "requested_amount" not in silent.data


@pytest.mark.parametrize("kind", sorted(PASSED_OVER))
def test_configuration_is_told_by_accounts(kind: str) -> None:
    assert event_of(replace(ENTRY, type=kind)) is None


def test_cards_that_nobody_knows_are_nobody_s() -> None:
    assert event_of(replace(ENTRY, type="DECLINE", account_id="")) is None


def test_what_networks_write_must_fit() -> None:
    strange = replace(ENTRY, merchant_id="café\n", country_code="", category_code="x" * 101)
    event = event_of(strange)
    assert event is not None
    assert not event.data.keys() & {"merchant_id", "country_code", "category_code"}
    assert fault_of(event) == ""


def test_companies_own_their_accounts() -> None:
    event = event_of(replace(ENTRY, company_id="co_0a" + "8" * 32))
    assert event is not None
    assert event.owner_id == "co_0a" + "8" * 32
