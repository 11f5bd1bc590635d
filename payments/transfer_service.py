"""TransferService: convert, ask, decide, commit, convert."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from holdfast.payments.v1 import transfer_service_pb2 as pb
from holdfast.payments.v1.transfer_service_pb2_grpc import TransferServiceServicer
from payments import convert_transfer as convert
from payments import making
from payments import transfer as rules
from payments.convert_transfer import Checked, Result
from payments.holders import Holder, Holders
from payments.mutation import Mutations, nothing
from payments.store import Store
from payments.transaction import Transaction
from payments.transfer import Transfer, Unmatched
from payments.transfer_store import Transfers, unmatched_page
from runtime import ids
from runtime.clock import Clock
from runtime.ids import IdSource
from runtime.pages import cut

#: Accounts that are asked for at the same time.
ASKED_AT_ONCE = 16

#: Accounts by their ids; None: there is no such account.
Found = Mapping[str, Holder | None]


class TransferService(TransferServiceServicer):
    """Takes in what a bank tells of."""

    def __init__(
        self,
        store: Store,
        mutations: Mutations,
        holders: Holders,
        clock: Clock,
        *,
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._mutations = mutations
        self._holders = holders
        self._clock = clock
        self._ids = IdSource(clock)
        self._wake = wake

    async def ImportTransfers(
        self, request: pb.ImportTransfersRequest, context: Any
    ) -> pb.ImportTransfersResponse:
        """Takes transfers in, each once."""
        now_ms = self._clock.now_ms()
        key, rows = convert.import_transfers(request, context, now_ms=now_ms)

        async def ask() -> Found:
            return await self._named(one.transfer for one in rows if one.transfer)

        async def change(transaction: Transaction, found: Found) -> pb.ImportTransfersResponse:
            transfers = Transfers(transaction)
            await transfers.lock()
            results = [
                await self._taken(transfers, row, found, now_ms=now_ms, keeps=True) for row in rows
            ]
            await transaction.record_all([one.payment_id for one in results if one.payment_id])
            return pb.ImportTransfersResponse(results=results)

        if request.validate_only:
            found = await ask()
            async with self._store.transaction(now_ms=now_ms) as transaction:
                looked = Transfers(transaction)
                return pb.ImportTransfersResponse(
                    results=[
                        await self._taken(looked, row, found, now_ms=now_ms, keeps=False)
                        for row in rows
                    ]
                )
        answer = await self._mutations.run(
            key, context, pb.ImportTransfersResponse, ask=ask, change=change
        )
        self._wake()
        return answer

    async def ListUnmatchedTransfers(
        self, request: pb.ListUnmatchedTransfersRequest, context: Any
    ) -> pb.ListUnmatchedTransfersResponse:
        """Lists transfers that belong to nobody, newest first."""
        del context
        page = convert.unmatched_page(request)
        found = await unmatched_page(self._store, page)
        shown, token = cut(page, found, lambda one: one.id)
        return pb.ListUnmatchedTransfersResponse(
            transfers=[convert.unmatched(one) for one in shown], next_page_token=token
        )

    async def DismissTransfer(
        self, request: pb.DismissTransferRequest, context: Any
    ) -> pb.DismissTransferResponse:
        """Takes a transfer off the list."""
        key, source, bank_reference = convert.dismiss_transfer(request, context)

        async def change(transaction: Transaction, _: None) -> pb.DismissTransferResponse:
            transfers = Transfers(transaction)
            await transfers.lock()
            found = await transfers.kept(source, bank_reference)
            if found is None or found.done:
                raise convert.not_found(source, bank_reference)
            await transfers.finish(source, bank_reference)
            answer = pb.DismissTransferResponse(transfer=convert.unmatched(found))
            await transaction.record(after=answer.transfer)
            return answer

        return await self._mutations.run(
            key, context, pb.DismissTransferResponse, ask=nothing, change=change
        )

    async def _named(self, transfers: Iterable[Transfer]) -> Found:
        """The accounts that payers have written down."""
        names = {rules.account_named(one.remittance) for one in transfers} - {""}
        limit = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(name: str) -> tuple[str, Holder | None]:
            async with limit:
                return name, await self._holders.holder(name)

        return dict(await asyncio.gather(*map(ask, names)))

    async def _taken(
        self, transfers: Transfers, row: Checked, found: Found, *, now_ms: int, keeps: bool
    ) -> Result:
        """What becomes of a row; written if it `keeps`."""
        transfer = row.transfer
        if transfer is None:
            return convert.refused(row.violations)
        before = await _before(transfers, transfer)
        if before is not None:
            return before
        holder = found.get(rules.account_named(transfer.remittance))
        if holder is None or holder.currency_code != transfer.currency_code:
            reason = Unmatched.OTHER_CURRENCY if holder else Unmatched.NO_ACCOUNT
            if keeps:
                await transfers.keep(transfer, reason)
            return Result(outcome=Result.OUTCOME_UNMATCHED)
        made = making.transferred(
            payment_id=self._ids.new(ids.PAYMENT, ids.partition_of(holder.account_id)),
            account_id=holder.account_id,
            source=transfer.source,
            bank_reference=transfer.bank_reference,
            amount_minor=transfer.amount_minor,
            currency_code=holder.currency_code,
            time_zone=holder.time_zone,
            receive_ms=rules.receive_ms(transfer.receive_date, holder.time_zone, now_ms=now_ms),
            now_ms=now_ms,
        )
        if not keeps:
            return Result(outcome=Result.OUTCOME_CREDITED)
        inserted = await transfers.credit(made)
        assert inserted, "looked for under the lock"
        return Result(outcome=Result.OUTCOME_CREDITED, payment_id=made.id)


async def _before(transfers: Transfers, transfer: Transfer) -> Result | None:
    """What became of a transfer when it came before; None: it is new."""
    payment = await transfers.payment(transfer)
    if payment is not None:
        if not rules.is_same(payment, transfer):
            return convert.came_otherwise()
        return Result(outcome=Result.OUTCOME_EXISTED, payment_id=payment.id)
    kept = await transfers.kept(*transfer.key)
    if kept is None:
        return None
    if not rules.as_before(kept.transfer, transfer):
        return convert.came_otherwise()
    return Result(outcome=Result.OUTCOME_EXISTED if kept.done else Result.OUTCOME_UNMATCHED)
