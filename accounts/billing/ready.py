"""What is told when a statement is issued."""

from __future__ import annotations

from holdfast.accounts.v1 import statement_pb2 as pb
from holdfast.type.v1.money_pb2 import Money
from runtime.events.catalogue import Event, money


def ready(body: bytes, *, now_ms: int) -> Event:
    """From what a statement says."""
    statement = pb.Statement.FromString(body)
    return Event(
        type="statement.ready",
        time_ms=now_ms,
        account_id=statement.account_id,
        data={
            "statement_id": statement.id,
            "cycle_end_date": statement.cycle_end_date,
            "due_date": statement.due_date,
            "balance": _money(statement.closing_balance),
            "minimum_payment": _money(statement.minimum_payment),
        },
    )


def _money(amount: Money) -> dict[str, object]:
    return money(amount.amount_minor, amount.currency_code)
