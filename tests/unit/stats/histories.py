"""Histories of an account, and a model of what they come to that shares no code with the fold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from stats.movement import Movement, Place

ACCOUNT, CARD = "acct_01" + "1" * 32, "card_01" + "1" * 32
FIRST_DAY = date(2026, 1, 30)
PLACE = Place(
    account_id=ACCOUNT,
    card_id=CARD,
    user_id="",
    company_id="co_01" + "1" * 32,
    department_id="",
    programme_id="prog_demo",
    currency="USD",
    merchant="",
    category="",
    country="",
    channel="",
    merchant_currency="",
    decline_reason="",
)


def movement(kind: str, *, day: int = 0, number: int = 1, **fields: Any) -> Movement:
    """A movement; what is not said is nothing."""
    given: dict[str, Any] = {
        "entry_id": f"ent_{number}",
        "partition": 1,
        "pseq": number,
        "type": kind,
        "amount_minor": 0,
        "approved_minor": 0,
        "reversed_minor": 0,
        "authorization_id": "",
        "payment_id": "",
        "day": FIRST_DAY + timedelta(days=day),
        "record_time_ms": number,
        "place": PLACE,
        "merchant_name": "",
        "cash": None,
    }
    return Movement(**(given | fields))


@dataclass
class Model:
    """Counts in the plainest way: each fact with the day that it belongs to."""

    facts: dict[date, dict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    approved: dict[str, tuple[date, int]] = field(default_factory=dict)
    left: dict[str, tuple[date, int]] = field(default_factory=dict)
    refunds: dict[str, list[list[Any]]] = field(default_factory=dict)
    reversed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    expired: set[str] = field(default_factory=set)

    def count(self, day: date, name: str, amount_minor: int, times: int = 1) -> None:
        self.facts[day][f"{name}_count"] += times
        self.facts[day][f"{name}_minor"] += amount_minor

    def take(self, one: Movement) -> None:
        amount, kind = one.amount_minor, one.type
        if kind in {"AUTHORIZATION", "INCREMENT", "ADVICE", "FINANCIAL"}:
            known = self.approved.get(one.authorization_id)
            day, had = known or (one.day, 0)
            self.count(day, "authorized", one.approved_minor - had, times=0 if known else 1)
            self.approved[one.authorization_id] = (day, one.approved_minor)
            had = self.reversed[one.authorization_id]
            if kind != "FINANCIAL" and one.authorization_id not in self.expired:
                more = one.reversed_minor - had
                self.count(day, "reversed", more, times=1 if more and not had else 0)
                self.reversed[one.authorization_id] += more
        if kind in {"CAPTURE", "FORCE_POST", "FINANCIAL"}:
            self.count(one.day, "purchase", amount)
            if one.cash:
                self.count(one.day, "cash", amount)
        if kind in {"DECLINE", "INCREMENT_DECLINE"}:
            self.facts[one.day]["declined_count"] += 1
        if kind in {"REVERSAL", "EXPIRY"} and amount:
            day = self.approved.get(one.authorization_id, (one.day, 0))[0]
            self.count(day, "reversed" if kind == "REVERSAL" else "expired", amount)
            if kind == "REVERSAL":
                self.reversed[one.authorization_id] += amount
            else:
                self.expired.add(one.authorization_id)
        if kind == "REFUND":
            self.count(one.day, "refund", amount)
            if one.authorization_id:
                self.refunds.setdefault(one.authorization_id, []).append([one.day, amount])
        if kind == "REFUND_REVERSAL":
            self.take_refund_back(one)
        if kind == "PAYMENT_CREDIT":
            self.count(one.day, "payment", amount)
            self.left[one.payment_id] = (one.day, amount)
        if kind in {"PAYMENT_RETURN", "PAYMENT_REFUND"}:
            day, left = self.left[one.payment_id]
            self.count(day, "payment", -amount, -1 if left == amount else 0)
            self.left[one.payment_id] = (day, left - amount)
        if kind == "PAYMENT_REFUND_REVERSAL":
            day, left = self.left[one.payment_id]
            self.count(day, "payment", amount, 1 if left == 0 else 0)
            self.left[one.payment_id] = (day, left + amount)
        for kinds, name, sign in (
            ({"FEE"}, "fee", 1),
            ({"INTEREST"}, "interest", 1),
            ({"CHARGE_OFF"}, "charge_off", 1),
            ({"RECOVERY"}, "recovery", 1),
            ({"ADJUSTMENT_DEBIT", "PROVISIONAL_CREDIT_REVERSAL"}, "adjustment", 1),
            ({"ADJUSTMENT_CREDIT", "PROVISIONAL_CREDIT"}, "adjustment", -1),
        ):
            if kind in kinds:
                self.count(one.day, name, sign * amount)

    def take_refund_back(self, one: Movement) -> None:
        """From the last refund of just as much, else from the last ones."""
        several, rest = self.refunds.get(one.authorization_id, []), one.amount_minor
        same = [refund for refund in several if refund[1] == rest]
        for refund in reversed(same[-1:] or several):
            part = min(refund[1], rest)
            if part:
                self.count(refund[0], "refund", -part, -1 if part == refund[1] else 0)
                refund[1] -= part
                rest -= part
        if rest:
            self.count(one.day, "refund", -rest, -1 if rest == one.amount_minor else 0)


def counted(movements: Iterable[Movement]) -> dict[date, dict[str, int]]:
    """What the model has of each day, without zeros."""
    model = Model()
    for one in movements:
        model.take(one)
    found = {day: {k: v for k, v in facts.items() if v} for day, facts in model.facts.items()}
    return {day: facts for day, facts in found.items() if facts}


@st.composite
def histories(draw: st.DrawFn) -> list[Movement]:
    """Up to sixty movements of one account, in the order of the ledger, on any days."""
    found: list[Movement] = []
    approved: dict[str, int] = {}
    payments: dict[str, int] = {}
    for number in range(1, draw(st.integers(1, 60)) + 1):
        day, amount = draw(st.integers(0, 5)), draw(st.integers(1, 10_000))
        kind = draw(st.sampled_from(_KINDS))
        fields: dict[str, Any] = {"day": day, "number": number, "amount_minor": amount}
        if kind in {"CAPTURE", "FORCE_POST", "FINANCIAL"}:
            fields["cash"] = draw(st.sampled_from([None, False, True]))
        if kind in {"AUTHORIZATION", "FINANCIAL"}:
            name = f"auth_{number}"
            approved[name] = amount
            fields |= {"authorization_id": name, "approved_minor": amount}
            if kind == "AUTHORIZATION":
                fields["reversed_minor"] = draw(st.sampled_from([0, 0, 1, amount]))
        elif kind in {"INCREMENT", "INCREMENT_DECLINE", "ADVICE", "REVERSAL", "EXPIRY", "CAPTURE"}:
            if not approved:
                continue
            name = draw(st.sampled_from(sorted(approved)))
            if kind == "INCREMENT":
                approved[name] += amount
            if kind == "ADVICE":
                approved[name] = amount
            if kind in {"ADVICE", "INCREMENT"}:
                fields["reversed_minor"] = draw(st.sampled_from([0, 1, amount]))
            fields |= {"authorization_id": name, "approved_minor": approved[name]}
        elif kind in {"REFUND", "REFUND_REVERSAL"}:
            # Of one purchase several, of the same amount at times, and of none.
            fields["authorization_id"] = draw(st.sampled_from(["", "auth_a", "auth_b"]))
            fields["amount_minor"] = draw(st.sampled_from([1, 2, 3, amount]))
        elif kind == "PAYMENT_CREDIT":
            payments[f"pay_{number}"] = amount
            fields["payment_id"] = f"pay_{number}"
        elif kind == "PAYMENT_REFUND_REVERSAL":
            if not payments:
                continue
            name = draw(st.sampled_from(sorted(payments)))
            payments[name] += amount
            fields["payment_id"] = name
        elif kind in {"PAYMENT_RETURN", "PAYMENT_REFUND"}:
            if not (some := sorted(name for name, left in payments.items() if left)):
                continue
            name = draw(st.sampled_from(some))
            fields["amount_minor"] = draw(st.integers(1, payments[name]))
            payments[name] -= fields["amount_minor"]
            fields["payment_id"] = name
        found.append(movement(kind, **fields))
    return found


_KINDS = (
    *("AUTHORIZATION", "FINANCIAL", "INCREMENT", "ADVICE", "REVERSAL", "EXPIRY", "CAPTURE"),
    *("DECLINE", "FORCE_POST", "REFUND", "REFUND_REVERSAL", "PAYMENT_CREDIT", "PAYMENT_RETURN"),
    *("FEE", "INTEREST", "ADJUSTMENT_DEBIT", "ADJUSTMENT_CREDIT", "PROVISIONAL_CREDIT"),
    *("PROVISIONAL_CREDIT_REVERSAL", "PAYMENT_REFUND", "PAYMENT_REFUND_REVERSAL"),
    *("INCREMENT_DECLINE", "CHARGE_OFF", "RECOVERY"),
)
