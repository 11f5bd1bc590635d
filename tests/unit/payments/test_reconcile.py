"""Payments against ledger and processor: what is at rest agrees, what is on its way may differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from payments import payment as life
from payments import reconcile
from payments.payment import Payment
from payments.reconcile import ABSENT, Booked, Charge
from tests.unit.payments.test_payment import (
    ACCOUNT,
    ASKED,
    CANCELED,
    CHARGED,
    FAILED,
    GOING_BACK,
    HELD,
    NEW,
    NOW,
    RELEASED,
    RETURNED,
)

SCHEDULED = replace(NEW, state=life.State.SCHEDULED, step=life.Step.BEGIN)
WAITING = life.waiting(ASKED, reference="ch_1", again_ms=NOW, now_ms=NOW)
DUE = NOW + 1_000
LEDGER = ("CREDITED", "RELEASED", "RETURNED", ABSENT)


@pytest.mark.parametrize(
    ("payment", "now_ms", "agrees"),
    [
        (SCHEDULED, NOW, {ABSENT}),
        (NEW, NOW, {ABSENT}),
        (ASKED, NOW, {ABSENT}),
        (CHARGED, NOW, {ABSENT, "CREDITED"}),
        (HELD, NOW, {"CREDITED"}),
        # A worker may be at it.
        (HELD, DUE, {"CREDITED", "RELEASED"}),
        (replace(HELD, due_ms=DUE + 60_000), DUE, {"CREDITED", "RELEASED"}),
        (RELEASED, NOW, {"RELEASED"}),
        (GOING_BACK, NOW, {"CREDITED", "RETURNED"}),
        (replace(GOING_BACK, released=True), NOW, {"RELEASED", "RETURNED"}),
        (RETURNED, NOW, {"RETURNED"}),
        (FAILED, NOW, {ABSENT}),
        (CANCELED, NOW, {ABSENT}),
    ],
)
def test_what_the_ledger_may_say(payment: Payment, now_ms: int, agrees: set[str]) -> None:
    for state in LEDGER:
        booked = Booked(account_id=ACCOUNT, amount_minor=5_000, state=state)
        found = list(
            reconcile.against_ledger(payment, None if state == ABSENT else booked, now_ms=now_ms)
        )
        assert (found == []) is (state in agrees), (state, found)


def test_an_amount_and_an_account_of_the_ledger_count_to_the_cent() -> None:
    booked = Booked(account_id=ACCOUNT + "x", amount_minor=4_999, state="RELEASED")
    found = list(reconcile.against_ledger(RELEASED, booked, now_ms=NOW))
    assert [one.field for one in found] == ["amount_minor", "account_id"]
    assert {one.remedy for one in found} == {reconcile.WRONG_BOOK}


CAME = Charge(
    reference="ch_1", payment_id=NEW.id, amount_minor=5_000, currency_code="USD", came=True
)
REFUSED = replace(CAME, came=False)
OTHER = replace(CAME, reference="ch_2")


@pytest.mark.parametrize(
    ("payment", "charges", "remedy"),
    [
        (RELEASED, [CAME], ""),
        (RELEASED, [CAME, replace(REFUSED, reference="ch_2")], ""),
        (RETURNED, [CAME], ""),
        (CHARGED, [CAME], ""),
        (FAILED, [REFUSED], ""),
        (FAILED, [], ""),
        (WAITING, [CAME], ""),
        (WAITING, [REFUSED], ""),
        (ASKED, [], ""),
        (RELEASED, [], reconcile.NOT_TAKEN),
        (RELEASED, [REFUSED], reconcile.NOT_TAKEN),
        (RELEASED, [CAME, OTHER], reconcile.TAKEN_TWICE),
        (WAITING, [CAME, OTHER], reconcile.TAKEN_TWICE),
        (FAILED, [OTHER], reconcile.NOT_CREDITED),
        (FAILED, [CAME], reconcile.NOT_CREDITED),
        (CANCELED, [OTHER], reconcile.NOT_CREDITED),
        (RELEASED, [OTHER], reconcile.NOBODYS_CHARGE),
        (RELEASED, [replace(CAME, amount_minor=5_001)], reconcile.OTHER_AMOUNT),
        (RELEASED, [replace(CAME, currency_code="EUR")], reconcile.OTHER_AMOUNT),
    ],
)
def test_what_the_processor_may_say(payment: Payment, charges: list[Charge], remedy: str) -> None:
    found = list(reconcile.against_processor(payment, charges))
    assert [one.remedy for one in found] == ([remedy] if remedy else [])


@pytest.mark.parametrize(
    ("payment", "given_back", "remedy"),
    [
        (RELEASED, False, ""),
        (RETURNED, True, ""),
        (GOING_BACK, True, ""),
        (RELEASED, True, reconcile.GIVEN_BACK),
        (RETURNED, False, reconcile.NOT_GIVEN_BACK),
    ],
)
def test_a_deposit_has_back_what_went_back(payment: Payment, given_back: bool, remedy: str) -> None:
    charge = replace(CAME, given_back=given_back)
    found = list(reconcile.against_deposit(payment, charge))
    assert [one.remedy for one in found] == ([remedy] if remedy else [])


def test_what_is_nobody_s_is_named() -> None:
    booked = Booked(account_id=ACCOUNT, amount_minor=5_000, state="CREDITED")
    assert reconcile.nobodys_book(NEW.id, booked).subject == NEW.id
    assert reconcile.nobodys_charge(CAME).found == "5000 USD"
