"""What billing goes on from, as JSON and back: the state of an account. No I/O, no clock, no grpc.

Fields may be added, with a default for rows that lack them.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from accounts.billing.account import BillingAccount, Phase, YearToDate
from accounts.billing.balances import Balances
from accounts.billing.calendar import Cycle
from accounts.billing.delinquency import Bucket, Demand
from accounts.billing.interest import Opening
from accounts.billing.terms import Category, Promotion


def dumped(account: BillingAccount) -> str:
    """Everything that is not the account's own row."""
    cycle, opening = account.cycle, account.opening
    assert cycle is not None, "only what has begun has a state"
    return json.dumps(
        {
            "number": account.number,
            "cycle": [cycle.start.isoformat(), cycle.end.isoformat(), cycle.due.isoformat()],
            "opening": {
                "old": opening.balances.old,
                "new": opening.balances.new,
                "surplus": opening.balances.surplus,
                "due": _text(opening.due),
                "statement": opening.statement_minor,
                "minimum": opening.minimum_minor,
                "grace": opening.grace,
                "penalty": opening.penalty,
                "promotions": [
                    [one.category, one.apr_bp, one.until.isoformat()] for one in opening.promotions
                ],
            },
            "demands": [[one.due.isoformat(), one.amount_minor] for one in account.demands],
            "late_checked": account.late_checked,
            "in_time": account.in_time,
            "late_number": account.late_number,
            "returned_number": account.returned_number,
            "late_fee": account.late_fee_minor,
            "penalty_fee": account.penalty_fee_minor,
            "late_number_before": account.late_number_before,
            "in_time_before": account.in_time_before,
            "blocked": account.blocked,
            "bucket": account.bucket,
            "year": [account.year.year, account.year.fees_minor, account.year.interest_minor],
        }
    )


def loaded(
    row: dict[str, Any], *, opened_ms: int, state: str | None, phase: Phase
) -> BillingAccount:
    """An account from its row (the four names below) and its state."""
    names = ("account_id", "programme_id", "currency_code", "account_state")
    own = {name: row[name] for name in names}
    if state is None:
        return BillingAccount(**own, opened_ms=opened_ms, phase=phase)
    found = json.loads(state)
    year, fees_minor, interest_minor = found["year"]
    return BillingAccount(
        **own,
        opened_ms=opened_ms,
        phase=phase,
        number=found["number"],
        cycle=Cycle(**dict(zip(("start", "end", "due"), map(_day, found["cycle"]), strict=True))),
        opening=_opening(found["opening"]),
        demands=tuple(
            Demand(due=date.fromisoformat(due), amount_minor=amount)
            for due, amount in found["demands"]
        ),
        late_checked=found["late_checked"],
        in_time=found["in_time"],
        late_number=found["late_number"],
        returned_number=found["returned_number"],
        late_fee_minor=found["late_fee"],
        penalty_fee_minor=found["penalty_fee"],
        late_number_before=found["late_number_before"],
        in_time_before=found["in_time_before"],
        blocked=found["blocked"],
        bucket=Bucket(found["bucket"]),
        year=YearToDate(year=year, fees_minor=fees_minor, interest_minor=interest_minor),
    )


def _opening(found: dict[str, Any]) -> Opening:
    return Opening(
        balances=Balances(
            old=_parts(found["old"]), new=_parts(found["new"]), surplus=found["surplus"]
        ),
        due=_optional(found["due"]),
        statement_minor=found["statement"],
        minimum_minor=found["minimum"],
        grace=found["grace"],
        penalty=found["penalty"],
        promotions=tuple(
            Promotion(category=Category(name), apr_bp=apr_bp, until=date.fromisoformat(until))
            for name, apr_bp, until in found["promotions"]
        ),
    )


def _parts(found: dict[str, int]) -> dict[Category, int]:
    return {category: found.get(category, 0) for category in Category}


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _optional(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
