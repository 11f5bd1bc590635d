"""What a change of a payment is called, and when nothing is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from payments import happenings
from payments import payment as life
from payments.autopay import Autopay
from payments.payment import Basis, Payment, State
from runtime.events.catalogue import fault_of, money
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

SCHEDULED = replace(
    NEW,
    state=State.SCHEDULED,
    basis=Basis.MINIMUM,
    amount_minor=None,
    scheduled_date=date(2027, 1, 31),
)
BEGUN = replace(NEW, version=2)
ABOUT = {"payment_id": NEW.id, "source": "IN_HOUSE", "cause": "REQUEST"}
AMOUNT = {"amount": money(5_000, "USD")}


@pytest.mark.parametrize(
    ("before", "after", "name", "more"),
    [
        (
            None,
            SCHEDULED,
            "payment.scheduled",
            {"basis": "MINIMUM", "scheduled_date": "2027-01-31"},
        ),
        (None, NEW, "", {}),
        (State.SCHEDULED, BEGUN, "", {}),
        (State.PENDING, ASKED, "payment.processing", AMOUNT),
        (State.PROCESSING, CHARGED, "", {}),
        (
            State.PROCESSING,
            HELD,
            "payment.succeeded",
            {**AMOUNT, "release_time": "2027-01-15T08:00:01Z"},
        ),
        # A transfer is on its way when a bank tells of it.
        (None, replace(CHARGED, version=1), "payment.processing", AMOUNT),
        # The ledger tells of these.
        (State.SUCCEEDED, RELEASED, "", {}),
        (State.SUCCEEDED, GOING_BACK, "", {}),
        (State.SUCCEEDED, RETURNED, "", {}),
        (
            State.PROCESSING,
            FAILED,
            "payment.failed",
            {**AMOUNT, "reason": "INSUFFICIENT_FUNDS"},
        ),
        (
            State.PROCESSING,
            replace(FAILED, reason=""),
            "payment.failed",
            {**AMOUNT, "reason": "UNKNOWN"},
        ),
        (State.PENDING, CANCELED, "payment.canceled", {**AMOUNT, "reason": "REQUESTED"}),
        (
            State.SCHEDULED,
            life.dropped(SCHEDULED, reason=life.NOTHING_OWED, failed=False, now_ms=NOW),
            "payment.canceled",
            {"reason": "NOTHING_OWED"},
        ),
    ],
)
def test_a_change_has_one_name(
    before: State | None, after: Payment, name: str, more: dict[str, object]
) -> None:
    found = happenings.of_payment(before, after)
    assert [one.type for one in found] == ([name] if name else [])
    for one in found:
        assert (one.account_id, one.time_ms, fault_of(one)) == (ACCOUNT, after.update_ms, "")
        assert one.data == {**ABOUT, **more}


OFF = Autopay(account_id=ACCOUNT, enabled=False)
ON = replace(
    OFF,
    enabled=True,
    basis=Basis.MINIMUM,
    currency_code="USD",
    days_before_due=3,
    funding_source_id=NEW.funding_source_id,
    due_ms=NOW,
    version=1,
)
FIXED = replace(ON, basis=Basis.FIXED, amount_minor=700, version=2)


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        (OFF, ON, "payment.autopay_set"),
        (ON, FIXED, "payment.autopay_set"),
        (ON, replace(ON, last_number=4, due_ms=NOW + 1, version=2), ""),
        (ON, replace(ON, enabled=False, due_ms=None, version=2), "payment.autopay_off"),
        (OFF, replace(OFF, currency_code="USD", version=1), ""),
    ],
)
def test_autopay_is_told_when_it_is_another(before: Autopay, after: Autopay, name: str) -> None:
    found = happenings.of_autopay(before, after, now_ms=NOW)
    assert [one.type for one in found] == ([name] if name else [])
    assert [fault_of(one) for one in found] == [""] * len(found)


def test_what_is_paid_by_itself_is_said() -> None:
    (told,) = happenings.of_autopay(OFF, FIXED, now_ms=NOW)
    assert told.data == {
        "basis": "FIXED",
        "days_before_due": 3,
        "funding_source_id": NEW.funding_source_id,
        "amount": money(700, "USD"),
    }
