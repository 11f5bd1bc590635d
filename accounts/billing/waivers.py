"""Gives fees and interest back, in the transaction that answers for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accounts.billing import happenings
from accounts.billing.account import BillingAccount, Booked, Posting
from accounts.billing.store import Billing
from accounts.billing.waiver import Given, Waive, WaiverRefusal, left_of, waived
from runtime.clock import datetime_of, ms_of
from runtime.events.outbox import emit
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).parents[1] / "sql" / "waivers.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why nothing was given back, and what might be."""

    reason: WaiverRefusal
    left_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a waiver is about, locked."""

    account: BillingAccount
    entry: Booked | None


class Waivers:
    """Reads and writes on one connection, in its transaction."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def found(self, command: Waive) -> Found | None:
        """The account, locked, and the entry; None if the account is not billed."""
        billing = Billing(self._connection)
        await billing.lock([command.account_id])
        account = await billing.account(command.account_id)
        if account is None:
            return None
        return Found(
            account=account, entry=await billing.entry(account.account_id, command.entry_id)
        )

    async def waive(
        self, command: Waive, account: BillingAccount, entry: Booked, *, principal: str, now_ms: int
    ) -> Posting | Refused:
        """Gives it back; the ledger has it once it was posted."""
        row = await self._connection.fetchrow(
            _SQL["given_back"], account.account_id, entry.entry_id, command.kind
        )
        given = Given(
            of_entry_minor=row["of_entry_minor"],
            times=row["times"],
            left_of_all_minor=row["left_of_all_minor"],
        )
        posting = waived(command, account, entry, given, now_ms=now_ms)
        if isinstance(posting, WaiverRefusal):
            return Refused(reason=posting, left_minor=left_of(entry, given))
        billing = Billing(self._connection)
        await billing.insert_postings([posting], now_ms=now_ms)
        # Should the payment turn out to have been in time, the rest of it is given back.
        current = row["late_fee_request"] == f"{account.account_id}:{account.number}:late_fee"
        await self._connection.execute(
            _SQL["insert_waiver"],
            account.account_id,
            posting.request_id,
            entry.entry_id,
            posting.amount_minor,
            command.reason,
            command.note,
            principal,
            datetime_of(now_ms),
            current,
        )
        event = happenings.of_waiver(account, posting, reason=command.reason)
        await emit(self._connection, [event])
        if current and account.cycle is not None:
            left = max(account.late_fee_minor - posting.amount_minor, 0)
            await billing.keep(replace(account, late_fee_minor=left))
        return posting


async def waived_late_fees(connection: Any, account_id: str) -> dict[int, int]:
    """Late fees that were given back after their cycle's end, by the statement they are about."""
    rows = await connection.fetch(_SQL["late_fees_given_back"], account_id)
    return {row["number"]: row["minor"] for row in rows}


async def uncredited_interest(connection: Any, account_id: str) -> int:
    """Interest that was charged and has not been given back."""
    found: int = await connection.fetchval(_SQL["uncredited_interest"], account_id)
    return found


async def uncredited_fees(
    connection: Any, account_id: str, charges: Sequence[str]
) -> dict[str, int]:
    """What has not been given back of the fees that these charges have caused, by charge."""
    rows = await connection.fetch(_SQL["uncredited_fees"], account_id, charges)
    return {row["charge_id"]: row["minor"] for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """One change of how late an account was."""

    change_ms: int
    bucket_before: str
    bucket: str
    days_past_due: int
    past_due_minor: int


async def delinquency_changes(
    pool: Any, account_id: str, *, before_ms: int, before_bucket: str, limit: int
) -> list[ChangeRow]:
    """Changes of how late an account was, latest first, before one of them."""
    with refusing_when_down():
        rows = await pool.fetch(
            _SQL["list_delinquency_changes"],
            account_id,
            datetime_of(before_ms),
            before_bucket,
            limit,
        )
    return [
        ChangeRow(
            change_ms=ms_of(row["change_time"]),
            bucket_before=row["bucket_before"],
            bucket=row["bucket"],
            days_past_due=row["days_past_due"],
            past_due_minor=row["past_due_minor"],
        )
        for row in rows
    ]
