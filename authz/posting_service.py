"""PostingService: payments, fees, interest, adjustments, disputes. Mesh only."""

from __future__ import annotations

from authz import answers, convert, convert_posting
from authz.commands import MovePayment
from authz.mover import entry_id
from authz.posting_flow import PostingFlow
from authz.reads import Reads
from authz.service import Context, tell_replay
from holdfast.authz.v1 import posting_service_pb2 as rpc
from holdfast.authz.v1 import posting_service_pb2_grpc as rpc_grpc
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.identity import current_identity


class PostingService(rpc_grpc.PostingServiceServicer):
    """Moves money for the issuer's own reasons."""

    def __init__(self, flow: PostingFlow, fingerprints: convert.Fingerprints, reads: Reads) -> None:
        self._flow = flow
        self._fingerprints = fingerprints
        self._reads = reads

    async def CreditPayment(
        self, request: rpc.CreditPaymentRequest, context: Context
    ) -> rpc.CreditPaymentResponse:
        """Credits a payment to the balance."""
        command = convert_posting.credit_payment(
            request, current_identity(), context.invocation_metadata(), self._fingerprints
        )
        return rpc.CreditPaymentResponse(result=await self._moved(command, context))

    async def ReleasePayment(
        self, request: rpc.ReleasePaymentRequest, context: Context
    ) -> rpc.ReleasePaymentResponse:
        """Releases a credited payment."""
        command = convert_posting.move_payment(
            request, current_identity(), context.invocation_metadata(), self._fingerprints
        )
        return rpc.ReleasePaymentResponse(result=await self._moved(command, context))

    async def ReturnPayment(
        self, request: rpc.ReturnPaymentRequest, context: Context
    ) -> rpc.ReturnPaymentResponse:
        """Takes a payment back."""
        command = convert_posting.move_payment(
            request, current_identity(), context.invocation_metadata(), self._fingerprints
        )
        return rpc.ReturnPaymentResponse(result=await self._moved(command, context))

    async def DebitRefund(
        self, request: rpc.DebitRefundRequest, context: Context
    ) -> rpc.DebitRefundResponse:
        """Takes credit that is paid back."""
        command = convert_posting.debit_refund(
            request, current_identity(), context.invocation_metadata(), self._fingerprints
        )
        return rpc.DebitRefundResponse(result=await self._moved(command, context))

    async def ReverseRefund(
        self, request: rpc.ReverseRefundRequest, context: Context
    ) -> rpc.ReverseRefundResponse:
        """Puts back what a refund has taken."""
        command = convert_posting.reverse_refund(
            request, current_identity(), context.invocation_metadata(), self._fingerprints
        )
        return rpc.ReverseRefundResponse(result=await self._moved(command, context))

    async def GetOwed(self, request: rpc.GetOwedRequest, context: Context) -> rpc.GetOwedResponse:
        """Returns what an account owes at this moment."""
        found = await self._reads.balance(request.account_id)
        owing_minor = -found.posted.amount_minor - found.unreleased.amount_minor
        refundable_minor = max(min(owing_minor, found.available_credit.amount_minor), 0)
        return rpc.GetOwedResponse(
            posted=found.posted,
            unreleased=found.unreleased,
            refundable=Money(
                currency_code=found.posted.currency_code, amount_minor=refundable_minor
            ),
        )

    async def PostEntry(
        self, request: rpc.PostEntryRequest, context: Context
    ) -> rpc.PostEntryResponse:
        """Posts a fee, interest, an adjustment, or what a dispute comes to."""
        command = convert_posting.post_entry(
            request, current_identity(), context.invocation_metadata(), self._fingerprints
        )
        movement = await self._flow.post(command)
        await tell_replay(movement, context)
        name = entry_id(ids.tag_of(command.account_id), command)
        return rpc.PostEntryResponse(result=answers.posting(movement, name))

    async def _moved(self, command: MovePayment, context: Context) -> rpc.PostingResult:
        movement = await self._flow.move_payment(command)
        await tell_replay(movement, context)
        name = entry_id(ids.tag_of(command.account_id), command)
        return answers.posting(movement, name)
