"""A statement, as the terminal shows it."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.accounts.v1 import statement_pb2 as pb
from runtime.demo.stage import Stage, money

#: Columns: the margin of a scene is beside them.
_WIDTH = 66
_DATE = 12
_AMOUNT = 12


def show(stage: Stage, statement: pb.Statement, lines: Sequence[pb.StatementLine]) -> None:
    """Prints a statement, and keeps what it says."""
    text = "\n".join(f"  │ {line}" for line in _lines(statement, lines))
    stage.tell(
        text,
        statement=statement.number,
        closing_minor=statement.closing_balance.amount_minor,
        minimum_minor=statement.minimum_payment.amount_minor,
        lines=len(lines),
    )


def _lines(statement: pb.Statement, lines: Sequence[pb.StatementLine]) -> list[str]:
    cycle = f"{statement.cycle_start_date} to {statement.cycle_end_date}"
    found = [
        f"Statement {statement.number}{cycle:>{_WIDTH - 11}}",
        "",
        _row("Previous balance", statement.opening_balance.amount_minor),
    ]
    found += [
        _row(f"{line.date:<{_DATE}}{line.description}", line.amount.amount_minor) for line in lines
    ]
    found += [
        _row("New balance", statement.closing_balance.amount_minor),
        "",
        _row(f"Minimum payment, due {statement.due_date}", statement.minimum_payment.amount_minor),
    ]
    if statement.past_due.amount_minor:
        found.append(_row("of it past due", statement.past_due.amount_minor))
    found.append(
        f"In {statement.year_to_date.year} so far: fees"
        f" {money(statement.year_to_date.fees.amount_minor)}, interest"
        f" {money(statement.year_to_date.interest.amount_minor)}"
    )
    if statement.HasField("payoff_warning"):
        found += ["", *_warning(statement.payoff_warning)]
    return found


def _warning(warning: pb.PayoffWarning) -> list[str]:
    """What paying the minimum comes to (12 CFR 1026.7(b)(12))."""
    in_all = money(warning.minimum_total.amount_minor)
    found = [f"Paying the minimum only: about {warning.minimum_months} months, {in_all} in all"]
    if warning.payment_36_months.amount_minor:
        found.append(
            f"Paying {money(warning.payment_36_months.amount_minor)} a month: 36 months,"
            f" {money(warning.total_36_months.amount_minor)} in all"
        )
    return found


def _row(text: str, amount_minor: int) -> str:
    return f"{text:<{_WIDTH - _AMOUNT}}{money(amount_minor):>{_AMOUNT}}"
