"""Suspends accounts and lifts that, in the transaction of whoever does it."""

from __future__ import annotations

from pathlib import Path

from accounts import convert, suspension
from accounts.account import Account
from accounts.requests import BY_ITSELF
from accounts.suspension import UNWRITTEN, Cause, Moved, NotNamed, NotPaid, state_of
from accounts.transaction import Transaction
from runtime.clock import datetime_of
from runtime.errors import FailedPrecondition
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "suspensions.sql")


async def suspend(
    transaction: Transaction,
    account: Account,
    cause: Cause,
    *,
    principal: str = BY_ITSELF.principal,
    by_billing: bool = False,
    now_ms: int,
) -> Account:
    """Adds a cause to a locked account."""
    lasting = await _lasting(transaction, account)
    moved = suspension.suspend(account, lasting, cause, now_ms=now_ms)
    if not isinstance(moved, Moved):
        raise convert.refusal(moved)
    for one in sorted(moved.causes):
        found_by_billing = by_billing if one is cause else lasting[one]
        begin = (account.id, one, found_by_billing, principal, datetime_of(now_ms))
        await transaction.connection.execute(_SQL["insert_suspension"], *begin)
    return await _written(transaction, account, moved, principal=principal, now_ms=now_ms)


async def lift(
    transaction: Transaction,
    account: Account,
    cause: Cause | None,
    *,
    principal: str = BY_ITSELF.principal,
    by_billing: bool = False,
    now_ms: int,
) -> Account:
    """Ends a cause of a locked account, or the only one."""
    lasting = await _lasting(transaction, account)
    unpaid = lasting.get(Cause.PAST_DUE, False) and not by_billing
    moved = suspension.lift(account, lasting, cause, unpaid=unpaid, now_ms=now_ms)
    match moved:
        case NotNamed(causes=causes):
            raise FailedPrecondition(
                "the account is suspended for several causes, or for one that must be named: say"
                " which of them ends",
                reason="SUSPENSION_CAUSE_REQUIRED",
                metadata={"account_id": account.id, "causes": ",".join(causes)},
            )
        case NotPaid():
            raise FailedPrecondition(
                "the account is past due: it is opened again when that is paid",
                reason="ACCOUNT_PAST_DUE",
                metadata={"account_id": account.id},
            )
        case Moved():
            return await _written(transaction, account, moved, principal=principal, now_ms=now_ms)
    raise convert.refusal(moved)


async def _lasting(transaction: Transaction, account: Account) -> dict[Cause, bool]:
    """What a locked account is suspended for, and whether billing found it. The account's state
    counts more than the rows: a version before this one changed it without them.
    """
    rows = await transaction.connection.fetch(_SQL["select_lasting"], account.id)
    found = {Cause(row["cause"]): bool(row["by_billing"]) for row in rows}
    if state_of(found) is account.state:
        return found
    unwritten = UNWRITTEN.get(account.state)
    return {} if unwritten is None else {unwritten: found.get(unwritten, False)}


async def _written(
    transaction: Transaction, before: Account, moved: Moved, *, principal: str, now_ms: int
) -> Account:
    ending = (before.id, list(moved.causes), principal, datetime_of(now_ms))
    await transaction.connection.execute(_SQL["end_suspensions"], *ending)
    if moved.account is not before:
        await transaction.update_account(moved.account)
    return moved.account
