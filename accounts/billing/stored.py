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
from accounts.billing.delinquency import Bucket, Demand, Settled
from accounts.billing.disputed import Disputed
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
                "rates": opening.rates_bp,
                "kept": opening.kept_bp,
                "issued": _text(opening.issued_on),
            },
            "cycles": account.cycles,
            "demands": _demands(account.demands),
            "settled": [[_demands(one.met), one.spare_minor] for one in account.settled],
            "late_checked": account.late_checked,
            "in_time": account.in_time,
            "late_number": account.late_number,
            "late_cycle": account.late_cycle,
            "returned_cycle": account.returned_cycle,
            "late_fee": account.late_fee_minor,
            "penalty_fee": account.penalty_fee_minor,
            "late_cycle_before": account.late_cycle_before,
            "in_time_before": account.in_time_before,
            "penalty_from": _text(account.penalty_from),
            "blocked": account.blocked,
            "bucket": account.bucket,
            "charged_off": [
                _text(account.charged_off_on),
                account.charged_off_minor,
                account.off_minor,
                account.off_number,
            ],
            "year": [account.year.year, account.year.fees_minor, account.year.interest_minor],
            "disputes": [_dispute(one) for one in account.disputes],
            "relieved": {
                one.dispute_id: [_demands(one.demands_before), one.minimum_before_minor]
                for one in account.disputes
                if one.demands_before is not None
            },
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
    off_on, charged_off_minor, off_minor, off_number = found.get("charged_off", (None, 0, 0, 0))
    return BillingAccount(
        **own,
        opened_ms=opened_ms,
        phase=phase,
        number=found["number"],
        cycle=Cycle(**dict(zip(("start", "end", "due"), map(_day, found["cycle"]), strict=True))),
        opening=_opening(found["opening"]),
        cycles=found.get("cycles", found["number"]),
        demands=_demanded(found["demands"]),
        settled=tuple(
            Settled(met=_demanded(met), spare_minor=spare)
            for met, spare in found.get("settled", ())
        ),
        late_checked=found["late_checked"],
        in_time=found["in_time"],
        late_number=found["late_number"],
        # Cycles were counted by their statements.
        late_cycle=found.get("late_cycle", found["late_number"]),
        returned_cycle=found.get("returned_cycle", found.get("returned_number")),
        late_fee_minor=found["late_fee"],
        penalty_fee_minor=found["penalty_fee"],
        late_cycle_before=found.get("late_cycle_before", found.get("late_number_before")),
        in_time_before=found["in_time_before"],
        penalty_from=_optional(found.get("penalty_from")),
        blocked=found["blocked"],
        bucket=Bucket(found["bucket"]),
        charged_off_on=_optional(off_on),
        charged_off_minor=charged_off_minor,
        off_minor=off_minor,
        off_number=off_number,
        year=YearToDate(year=year, fees_minor=fees_minor, interest_minor=interest_minor),
        disputes=tuple(
            _disputed(one, found.get("relieved", {})) for one in found.get("disputes", ())
        ),
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
        rates_bp=_rates(found.get("rates", {})),
        kept_bp=_rates(found.get("kept", {})),
        issued_on=_optional(found.get("issued")),
    )


def _rates(found: dict[str, int]) -> dict[Category, int]:
    return {Category(name): rate_bp for name, rate_bp in found.items()}


def _demands(demands: tuple[Demand, ...]) -> list[list[object]]:
    return [[one.due.isoformat(), one.amount_minor] for one in demands]


def _demanded(found: list[list[Any]]) -> tuple[Demand, ...]:
    return tuple(Demand(due=date.fromisoformat(due), amount_minor=amount) for due, amount in found)


def _dispute(one: Disputed) -> dict[str, Any]:
    return {
        "dispute_id": one.dispute_id,
        "entry_id": one.entry_id,
        "category": one.category,
        "amount_minor": one.amount_minor,
        "on": one.on.isoformat(),
        "since": one.since.isoformat(),
        "settled": _text(one.settled),
        "won_minor": one.won_minor,
        "credited_minor": one.credited_minor,
        "corrected": one.corrected,
    }


def _disputed(found: dict[str, Any], relieved: dict[str, list[Any]]) -> Disputed:
    demands, minimum_minor = relieved.get(found["dispute_id"], (None, 0))
    before = {
        "demands_before": None if demands is None else _demanded(demands),
        "minimum_before_minor": minimum_minor,
    }
    days = {"on": _day(found["on"]), "since": _day(found["since"])}
    own = {**found, "category": Category(found["category"]), "settled": _optional(found["settled"])}
    return Disputed(**{**own, **days, **before})


def _parts(found: dict[str, int]) -> dict[Category, int]:
    return {category: found.get(category, 0) for category in Category}


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _optional(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
