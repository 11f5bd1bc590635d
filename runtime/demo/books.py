"""The end of the demonstration: everything is settled, and the books balance."""

from __future__ import annotations

from typing import Any

from rich.padding import Padding
from rich.table import Table

from holdfast.authz.v1 import ledger_service_pb2 as ledger_rpc
from runtime.demo import requests
from runtime.demo.stage import CURRENCY, DemoFailedError, Stage, money
from runtime.mesh_client import CALL_TIMEOUT_S
from runtime.money import format_minor

#: Accounts that are shown; the others are in one line.
_SHOWN = 3


async def close_books(stage: Stage) -> None:
    """Shows balances, the trial balance, and that nothing differs."""
    stage.scene("The day is over: every entry is settled into the double-entry ledger")
    stage.check("unsettled entries", found=await stage.backstage.unsettled(), expected=0)
    stage.document["accounts"] = await _balances(stage)
    stage.document["trial_balance"] = await _trial_balance(stage)
    books = await stage.backstage.reconciled()
    counts = {name: getattr(books, name) for name in ("accounts", "entries", "differences")}
    stage.tell(books.line(), style="bold red" if books.differences else "bold green")
    if books.differences:
        raise DemoFailedError(books.line())
    stage.document["books"] = counts


async def _balances(stage: Stage) -> list[dict[str, Any]]:
    table = _table("account", "limit", "posted", "held", "available")
    found = []
    for number, holder in enumerate(stage.holders.values()):
        now = await requests.balance(stage, holder)
        amounts = [
            one.amount_minor
            for one in (now.credit_limit, now.posted, now.held, now.available_credit)
        ]
        if number < _SHOWN:
            table.add_row(holder.name, *(money(amount) for amount in amounts))
        names = ("limit_minor", "posted_minor", "held_minor", "available_minor")
        found.append(
            {
                "name": holder.name,
                "account_id": holder.account_id,
                **dict(zip(names, amounts, strict=True)),
            }
        )
    if len(found) > _SHOWN:
        table.add_row(f"… {len(found) - _SHOWN} more")
    stage.console.print(Padding(table, (0, 0, 0, 3), expand=False))
    stage.console.print()
    return found


async def _trial_balance(stage: Stage) -> list[dict[str, Any]]:
    answer = await stage.mesh.ledger.GetTrialBalance(
        ledger_rpc.GetTrialBalanceRequest(), timeout=CALL_TIMEOUT_S
    )
    table = _table("ledger account", "debit", "credit", "balance")
    found: list[dict[str, Any]] = []
    for row in answer.rows:
        amounts = (row.debit.amount_minor, row.credit.amount_minor, row.balance.amount_minor)
        currency = row.balance.currency_code
        table.add_row(row.ledger_account, *(format_minor(amount, currency) for amount in amounts))
        found.append(
            {
                "ledger_account": row.ledger_account,
                "currency_code": currency,
                **dict(zip(("debit_minor", "credit_minor", "balance_minor"), amounts, strict=True)),
            }
        )
    debit, credit, balance = (
        sum(int(row[name]) for row in found)
        for name in ("debit_minor", "credit_minor", "balance_minor")
    )
    table.add_row("", *(format_minor(one, CURRENCY) for one in (debit, credit, balance)))
    stage.console.print(Padding(table, (0, 0, 0, 3), expand=False))
    stage.console.print()
    stage.check("debits and credits", found=debit, expected=credit)
    stage.check("the trial balance", found=balance, expected=0)
    return found


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table
