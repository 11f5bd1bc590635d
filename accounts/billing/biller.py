"""Closes cycles and watches due dates: works on accounts that have something to do, many at once.

Each batch is one transaction, whose rows nobody else takes meanwhile: who dies in between has done
nothing, and several processes share the work. A statement is issued once the ledger has brought
back everything that it states; until then the account's next cycle waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from accounts import suspending
from accounts.account import Account, AccountState
from accounts.billing import happenings, stored
from accounts.billing.account import BillingAccount, Booked, Phase
from accounts.billing.advance import NOTHING, Step, advance, issued
from accounts.billing.delinquency import blocks_spending
from accounts.billing.product import Product
from accounts.billing.products import Products
from accounts.billing.recompute import Past, Recalled, backdated, ended_now
from accounts.billing.statement import statement_id, statement_of
from accounts.billing.store import ENROL_BATCH, Billing
from accounts.billing.waivers import uncredited_fees, uncredited_interest, waived_late_fees
from accounts.requests import BY_ITSELF
from accounts.suspension import Cause
from accounts.transaction import Transaction
from runtime.clock import datetime_of
from runtime.events.outbox import emit
from runtime.log import get_logger
from runtime.tasks import work_for_ever

#: How often to look for accounts with something to do, and for accounts that nobody enrolled.
INTERVAL_S = 1.0
ENROL_INTERVAL_S = 3_600.0
#: Accounts of one transaction.
BATCH = 50
#: What failed is looked at again after this time.
AGAIN_MS = 3_600_000
#: What its programme's terms do not cover yet is looked at again after this time.
NO_TERMS_MS = 86_400_000

logger = get_logger()


class Biller:
    """Works for ever (`run`, `enrol`), or once (`work_due`)."""

    def __init__(
        self,
        pool: Any,
        *,
        known_ms: Callable[[], int | None],
        delay_ms: int,
        committed: Callable[[], None],
    ) -> None:
        self._pool = pool
        #: Up to when everything that was recorded has come in. Time stands still at it: nobody is
        #: late because the ledger was away.
        self._known_ms = known_ms
        self._delay_ms = delay_ms
        #: Called when postings or changed accounts were committed.
        self._committed = committed

    async def run(self) -> None:
        """No failure ends it."""
        await work_for_ever(self.work_due, failed="billing_failed", interval_s=INTERVAL_S)

    async def enrol(self) -> None:
        """Bills accounts whose programme has got terms; no failure ends it."""

        async def look() -> bool:
            async with self._pool.acquire() as connection:
                return await Billing(connection).enrol() == ENROL_BATCH

        await work_for_ever(look, failed="enrolling_failed", interval_s=ENROL_INTERVAL_S)

    async def work_due(self) -> int:
        """One batch; returns how many accounts were worked on."""
        try:
            return await self._in_transaction(self._work, BATCH)
        except Exception:
            logger.exception("billing_batch_failed")
        # One by one: the others must not wait for the one that fails.
        worked = 0
        for _ in range(BATCH):
            found = await self._in_transaction(self._work_alone, 1)
            worked += found
            if not found:
                break
        return worked

    async def _in_transaction(
        self, work: Callable[[Any, list[BillingAccount], int], Awaitable[None]], limit: int
    ) -> int:
        now_ms = self._known_ms()
        if now_ms is None or not await Billing(self._pool).has_due(now_ms=now_ms):
            return 0
        async with self._pool.acquire() as connection, connection.transaction():
            accounts = await Billing(connection).claim_due(now_ms=now_ms, limit=limit)
            if accounts:
                await work(connection, accounts, now_ms)
        if accounts:
            self._committed()
        return len(accounts)

    async def _work_alone(
        self, connection: Any, accounts: list[BillingAccount], now_ms: int
    ) -> None:
        try:
            async with connection.transaction():
                await self._work(connection, accounts, now_ms)
        except Exception:
            account_id = accounts[0].account_id
            logger.exception("billing_of_account_failed", account_id=account_id)
            await Billing(connection).postpone(account_id, until_ms=now_ms + AGAIN_MS)

    async def _work(self, connection: Any, accounts: list[BillingAccount], now_ms: int) -> None:
        products = Products(Billing(connection))
        posting = [one for one in accounts if one.phase is Phase.POSTING]
        going = [one for one in accounts if one.phase is not Phase.POSTING]
        if posting:
            going += await self._issue(Billing(connection), products, posting, now_ms)
        if going:
            await self._advance(connection, products, going, now_ms)

    async def _issue(
        self,
        billing: Billing,
        products: Products,
        accounts: Sequence[BillingAccount],
        now_ms: int,
    ) -> list[BillingAccount]:
        """Issues the statements of which everything is in the ledger; the others wait for it.
        Returns the accounts that go on: they are looked at, and written, with those.
        """
        waiting = await billing.unreturned(accounts)
        ready = [one for one in accounts if one.account_id not in waiting]
        found = await billing.issue(ready, now_ms=now_ms)
        rest = [replace(one, work_ms=None) for one in accounts if one.account_id in waiting]
        going = []
        for account in ready:
            closing_minor, change_minor, lines_minor = found[account.account_id]
            if change_minor != lines_minor:
                raise StatementDoesNotAddUp(
                    f"statement {account.number} of {account.account_id} says {change_minor},"
                    f" its lines come to {lines_minor}"
                )
            ended = account.closed and closing_minor == 0
            if ended:
                ended = not any((await billing.open_entries([account.account_id])).values())
            product = await products.of(account, now_ms=now_ms)
            assert product is not None, "its cycles have begun"
            done = issued(account, ended=ended, on=product.day(now_ms))
            if ended:
                # It is looked at when something comes in.
                rest.append(replace(done, work_ms=None))
            else:
                going.append(done)
        if rest:
            await billing.update(rest)
        return going

    async def _advance(
        self,
        connection: Any,
        products: Products,
        accounts: Sequence[BillingAccount],
        now_ms: int,
    ) -> None:
        billing = Billing(connection)
        entries = await billing.open_entries([one.account_id for one in accounts])
        steps: list[tuple[BillingAccount, Step, Product]] = []
        postponed = []
        for account in accounts:
            # Others wait in this process, too.
            await asyncio.sleep(0)
            product = await products.of(account, now_ms=now_ms)
            if product is None:
                postponed.append(replace(account, work_ms=now_ms + NO_TERMS_MS))
                continue
            mine = tuple(entries[account.account_id])
            recalled = await _recalled(connection, products, account, mine, product)
            step = advance(
                account,
                mine,
                product,
                now_ms=now_ms,
                delay_ms=self._delay_ms,
                recalled=recalled,
            )
            steps.append((account, step, product))
        if postponed:
            await billing.update(postponed)
        if steps:
            await self._write(connection, steps, now_ms)

    async def _write(
        self, connection: Any, steps: Sequence[tuple[BillingAccount, Step, Product]], now_ms: int
    ) -> None:
        billing = Billing(connection)
        await billing.insert_postings(
            (posting for _, step, _ in steps for posting in step.postings), now_ms=now_ms
        )
        made = [(step, product) for _, step, product in steps if step.made]
        if made:
            await billing.insert_statements([_row(step, one, now_ms) for step, one in made])
            await billing.number_entries(
                {
                    entry.entry_id: step.made.number
                    for step, _ in made
                    if step.made
                    for entry in step.made.entries
                }
            )
        await emit(
            connection,
            (
                event
                for account, step, _ in steps
                for event in happenings.of_step(account, step, now_ms=now_ms)
            ),
        )
        after = [
            _rested(await _watched(connection, account, step, product, now_ms), step)
            for account, step, product in steps
        ]
        await billing.update(after)


class StatementDoesNotAddUp(Exception):
    """A statement's lines are not the change of its balance: nothing is issued."""


async def _recalled(
    connection: Any,
    products: Products,
    account: BillingAccount,
    entries: tuple[Booked, ...],
    product: Product,
) -> Recalled:
    """The statements that a payment which came in late would have changed, or a dispute."""
    late, ended = (
        backdated(account.cycle, entries, product) if account.cycle else (),
        ended_now(account),
    )
    if not late and not ended:
        return NOTHING
    billing = Billing(connection)
    known = await billing.ended_disputes(account.account_id, product)
    now = {one.dispute_id for one in ended}
    return Recalled(
        past=await _past(
            connection,
            products,
            account,
            since=min([*(product.day(one.value_ms) for one in late), *(one.on for one in ended)]),
        ),
        made_good=tuple(one for one in known if one.dispute_id not in now),
        uncredited_minor=await uncredited_interest(connection, account.account_id),
        fees_left=await uncredited_fees(
            connection, account.account_id, sorted({one.entry_id for one in ended})
        ),
    )


async def _past(
    connection: Any, products: Products, account: BillingAccount, *, since: date
) -> tuple[Past, ...]:
    billing = Billing(connection)
    waived = await waived_late_fees(connection, account.account_id)
    row = {
        "account_id": account.account_id,
        "programme_id": account.programme_id,
        "currency_code": account.currency_code,
        "account_state": "OPEN",
    }
    found = list[Past]()
    for number, version, state in await billing.statements_since(account.account_id, since):
        before = stored.loaded(row, opened_ms=account.opened_ms, state=state, phase=Phase.RUNNING)
        fee_minor = max(before.late_fee_minor - waived.get(before.number, 0), 0)
        found.append(
            Past(
                account=replace(before, late_fee_minor=fee_minor),
                entries=tuple(await billing.lines(account.account_id, number)),
                product=await products.version(account.programme_id, version),
            )
        )
    return tuple(found)


async def _watched(
    connection: Any, account: BillingAccount, step: Step, product: Product, now_ms: int
) -> BillingAccount:
    """Records another bucket; has purchases declined from a certain one on, and allows them again.
    What the issuer has suspended or is closing, or has called past due by itself, stays so.
    """
    if step.changed is not None:
        await Billing(connection).insert_delinquency(
            account.account_id, before=account.bucket, standing=step.changed, now_ms=now_ms
        )
    late = blocks_spending(step.account.bucket, blocked_from=product.blocked_from)
    is_open = account.account_state == AccountState.OPEN
    if late and (
        is_open or (account.account_state == AccountState.SUSPENDED and not account.blocked)
    ):
        await _past_due(connection, account.account_id, suspending.suspend, now_ms)
        return replace(step.account, blocked=True)
    if not late and account.blocked:
        await _past_due(connection, account.account_id, suspending.lift, now_ms)
        return replace(step.account, blocked=False)
    return step.account


async def _past_due(
    connection: Any, account_id: str, change: Callable[..., Awaitable[Account]], now_ms: int
) -> None:
    """Adds or ends that cause, and no other."""
    transaction = Transaction(connection, now_ms=now_ms)
    transaction.caused_by(replace(BY_ITSELF, method="Billing"))
    account = await transaction.account(account_id)
    assert account is not None, "accounts are never deleted"
    # Somebody else may have been faster.
    if account.state not in (AccountState.CLOSING, AccountState.CLOSED):
        await change(transaction, account, Cause.PAST_DUE, by_billing=True, now_ms=now_ms)


def _row(step: Step, product: Product, now_ms: int) -> tuple[Any, ...]:
    made = step.made
    assert made is not None, "there is a statement"
    cycle, account_id = made.closed.cycle, made.before.account_id
    own = tuple(one for one in step.postings if one.number == made.number)
    return (
        account_id,
        made.number,
        statement_id(account_id, made.number),
        cycle.start,
        cycle.end,
        cycle.due,
        made.closed.opening_minor,
        made.closed.closing_minor,
        product.version,
        stored.dumped(made.before),
        statement_of(made, own, product).SerializeToString(deterministic=True),
        datetime_of(now_ms),
    )


def _rested(account: BillingAccount, step: Step) -> BillingAccount:
    """Who waits for what a statement has posted is woken when it comes back (`intake.take`)."""
    made = step.made
    waits = made is not None and any(one.number == made.number for one in step.postings)
    return replace(account, work_ms=None) if waits else account
