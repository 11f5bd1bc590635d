"""What billing tells: how late an account is, what was charged off, and what was given back."""

from __future__ import annotations

from datetime import timedelta

from accounts.billing.account import BillingAccount, Charge, Posting
from accounts.billing.advance import Step
from accounts.billing.balances import Change
from accounts.billing.delinquency import ORDER
from accounts.billing.happenings import of_step, of_waiver
from accounts.billing.terms import Category
from runtime.events.catalogue import Event, fault_of
from tests.unit.accounts.billing.life import ACCOUNT, OPENED, Life, at_ms


class Told(Life):
    """A life of which somebody is told."""

    def __init__(self) -> None:
        super().__init__()
        self.events = list[Event]()

    def _taken(self, step: Step, now_ms: int) -> None:
        self.events += of_step(self.account, step, now_ms=now_ms)
        super()._taken(step, now_ms)

    def amounts(self, name: str) -> list[tuple[int, int]]:
        """What was charged off or recovered, and what is left of it."""
        return [
            (one.data["amount"]["amount_minor"], one.data["charged_off"]["amount_minor"])
            for one in self.events
            if one.type == name
        ]


def test_who_pays_nothing_for_long() -> None:
    """Every bucket in its order, then the charge-off; 300.00 are paid later, the first payment
    comes back.
    """
    life = Told()
    life.happens(OPENED, "purchase", 100_000, 0)
    happens = {280: "payment", 320: "return"}
    for number in range(365):
        if number in happens:
            life.happens(OPENED + timedelta(days=number), happens[number], 30_000, 0)
        life.looked_at(at_ms(OPENED + timedelta(days=number), 11))
    assert [fault_of(one) for one in life.events] == [""] * len(life.events)
    assert {one.account_id for one in life.events} == {ACCOUNT}
    changes = [one.data for one in life.events if one.type == "account.delinquency_changed"]
    assert [one["bucket"] for one in changes] == list(ORDER[1:])
    assert [one["previous_bucket"] for one in changes] == list(ORDER[:-1])
    assert [one["days_past_due"] for one in changes] == [1, 30, 60, 90, 120, 150, 180]
    owed = life.amounts("account.charged_off")[0][0]
    assert owed > 100_000
    assert life.amounts("account.charged_off") == [(owed, owed), (30_000, owed)]
    assert life.amounts("account.recovered") == [(30_000, owed - 30_000)]


def test_who_pays_in_time_is_told_nothing() -> None:
    life = Told()
    life.happens(OPENED, "purchase", 10_000, 0)
    life.happens(OPENED + timedelta(days=30), "payment", 10_000, 0)
    life.looked_at(at_ms(OPENED + timedelta(days=90)))
    assert life.events == []


def test_what_staff_gives_back() -> None:
    posting = Posting(
        account_id=ACCOUNT,
        request_id="ent_0a:waiver.1",
        charge=Charge.FEE_WAIVER,
        change=Change.CREDIT,
        category=Category.FEE,
        amount_minor=1_000,
        currency_code="USD",
        value_ms=at_ms(OPENED),
        related_entry_id="ent_0a" + "1" * 32,
    )
    account = BillingAccount(
        account_id=ACCOUNT, programme_id="prog_credit", currency_code="USD", opened_ms=0
    )
    event = of_waiver(account, posting, reason="GOODWILL")
    assert fault_of(event) == ""
    assert (event.type, event.time_ms) == ("account.fee_waived", at_ms(OPENED))
    assert event.data == {
        "amount": {"amount_minor": 1_000, "currency_code": "USD"},
        "related_entry_id": posting.related_entry_id,
        "reason": "GOODWILL",
    }
