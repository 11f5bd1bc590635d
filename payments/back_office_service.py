"""BackOfficeService: convert, ask, decide, commit, convert."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from holdfast.payments.v1 import back_office_service_pb2 as pb
from holdfast.payments.v1.back_office_service_pb2_grpc import BackOfficeServiceServicer
from payments import checks, convert, making
from payments import payment as life
from payments.holders import Holder, Holders
from payments.mutation import Mutations, nothing
from payments.payment import Payment, Source, WrongState
from payments.transaction import Transaction
from payments.transfer import is_same
from payments.transfer_store import Transfers
from runtime import ids
from runtime.clock import Clock
from runtime.errors import AlreadyExists, InvalidArgument, Violation
from runtime.ids import IdSource


class BackOfficeService(BackOfficeServiceServicer):
    """What the issuer's staff do about payments."""

    def __init__(
        self,
        mutations: Mutations,
        holders: Holders,
        clock: Clock,
        *,
        hold_days: Mapping[Source, int],
        wake: Callable[[], None],
    ) -> None:
        self._mutations = mutations
        self._holders = holders
        self._clock = clock
        self._ids = IdSource(clock)
        self._hold_days = hold_days
        self._wake = wake

    async def RecordTransfer(
        self, request: pb.RecordTransferRequest, context: Any
    ) -> pb.RecordTransferResponse:
        """Credits a transfer that has arrived."""
        now_ms = self._clock.now_ms()
        key, source, receive_ms = convert.record_transfer(request, context, now_ms=now_ms)

        async def ask() -> Holder:
            currency_code = request.amount.currency_code
            return await checks.holder_of(
                self._holders, request.account_id, currency_code=currency_code
            )

        async def change(transaction: Transaction, holder: Holder) -> pb.RecordTransferResponse:
            made: Payment | None = making.transferred(
                payment_id=self._ids.new(ids.PAYMENT, ids.partition_of(request.account_id)),
                account_id=request.account_id,
                source=source,
                bank_reference=request.bank_reference,
                amount_minor=request.amount.amount_minor,
                currency_code=holder.currency_code,
                time_zone=holder.time_zone,
                receive_ms=receive_ms,
                now_ms=now_ms,
            )
            assert made is not None
            transfers = Transfers(transaction)
            await transfers.lock()
            kept = await transfers.kept(source, request.bank_reference)
            if kept is not None and not kept.done and not is_same(made, kept.transfer):
                made = None
            elif not await transaction.insert_payment(made):
                made = await transaction.transfer(source, request.bank_reference)
            if made is None or (made.account_id, made.amount_minor) != (
                request.account_id,
                request.amount.amount_minor,
            ):
                raise AlreadyExists(
                    "this transfer was recorded with another account or amount",
                    reason="TRANSFER_EXISTS",
                    metadata={"payment_id": made.id if made else ""},
                )
            await transfers.finish(source, request.bank_reference)
            answer = pb.RecordTransferResponse(payment=convert.payment(made))
            await transaction.record(after=answer.payment)
            return answer

        answer = await self._mutations.run(
            key, context, pb.RecordTransferResponse, ask=ask, change=change
        )
        self._wake()
        return answer

    async def ReturnPayment(
        self, request: pb.ReturnPaymentRequest, context: Any
    ) -> pb.ReturnPaymentResponse:
        """Takes a payment back that the bank has returned."""
        key, payment_id, reason = convert.return_payment(request, context)

        async def change(transaction: Transaction, _: None) -> pb.ReturnPaymentResponse:
            now_ms = self._clock.now_ms()
            before, after = await _changed(
                transaction,
                payment_id,
                lambda found: life.went_back(found, reason=reason, now_ms=now_ms),
            )
            if after.source is Source.IN_HOUSE:
                await transaction.return_deposit(payment_id)
            answer = pb.ReturnPaymentResponse(payment=convert.payment(after))
            await transaction.record(before=convert.payment(before), after=answer.payment)
            return answer

        answer = await self._mutations.run(
            key, context, pb.ReturnPaymentResponse, ask=nothing, change=change
        )
        self._wake()
        return answer

    async def ReleasePayment(
        self, request: pb.ReleasePaymentRequest, context: Any
    ) -> pb.ReleasePaymentResponse:
        """Releases a payment before its time."""
        key, payment_id = convert.payment_key(request, context)

        async def change(transaction: Transaction, _: None) -> pb.ReleasePaymentResponse:
            now_ms = self._clock.now_ms()
            before, after = await _changed(
                transaction, payment_id, lambda found: life.hurried(found, now_ms=now_ms)
            )
            answer = pb.ReleasePaymentResponse(payment=convert.payment(after))
            await transaction.record(before=convert.payment(before), after=answer.payment)
            return answer

        answer = await self._mutations.run(
            key, context, pb.ReleasePaymentResponse, ask=nothing, change=change
        )
        self._wake()
        return answer

    async def SetHoldDays(
        self, request: pb.SetHoldDaysRequest, context: Any
    ) -> pb.SetHoldDaysResponse:
        """Says how long payments of an account are held."""
        key, source, days = convert.set_hold_days(request, context)
        account_id = request.account_id

        async def ask() -> Holder:
            return await checks.holder_of(self._holders, account_id)

        async def change(transaction: Transaction, _: Holder) -> pb.SetHoldDaysResponse:
            await transaction.set_hold_days(account_id, source, days)
            answer = pb.SetHoldDaysResponse(
                account_id=account_id,
                source=request.source,
                hold_days=self._hold_days.get(source, 0) if days is None else days,
            )
            await transaction.record(after=answer)
            return answer

        return await self._mutations.run(
            key, context, pb.SetHoldDaysResponse, ask=ask, change=change
        )

    async def AddDeposit(
        self, request: pb.AddDepositRequest, context: Any
    ) -> pb.AddDepositResponse:
        """Adds money to a deposit."""
        key = convert.add_deposit(request, context)
        account_id, added = request.account_id, request.amount

        async def ask() -> Holder:
            return await checks.holder_of(
                self._holders, account_id, currency_code=added.currency_code
            )

        async def change(transaction: Transaction, holder: Holder) -> pb.AddDepositResponse:
            balance_minor = await transaction.add_deposit(
                account_id,
                currency_code=holder.currency_code,
                amount_minor=added.amount_minor,
            )
            if balance_minor is None:
                raise InvalidArgument.of(
                    [Violation("amount.amount_minor", "makes the deposit 2^53 or more")]
                )
            answer = pb.AddDepositResponse(
                account_id=account_id,
                balance=convert.money(balance_minor, holder.currency_code),
            )
            await transaction.record(after=answer)
            return answer

        return await self._mutations.run(
            key, context, pb.AddDepositResponse, ask=ask, change=change
        )


async def _changed(
    transaction: Transaction, payment_id: str, move: Callable[[Payment], Payment]
) -> tuple[Payment, Payment]:
    """A payment before and after a change."""
    found = await transaction.payment(payment_id)
    if found is None:
        raise convert.payment_not_found(payment_id)
    try:
        moved = move(found)
    except WrongState as error:
        raise convert.wrong_state(error) from None
    await transaction.update_payment(moved)
    return found, moved
