"""DisputeService: convert, load, decide, commit, convert."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from accounts.account import Account
from accounts.applications.sealing import ApplicationKeys
from accounts.billing import aside
from accounts.billing.disputed import Disputed
from accounts.billing.store import Billing
from accounts.billing.terms import Category
from accounts.caller import calling_user, is_staff, sees_all
from accounts.convert import refusal
from accounts.disputes import convert, happenings
from accounts.disputes import dispute as rules
from accounts.disputes.dispute import Dispute, Kind, Posting, Refused, State
from accounts.disputes.documents import DisputeDocuments, described, hand_in
from accounts.disputes.poster import DisputePoster
from accounts.disputes.purchase import Purchases, billed, charge_among, charge_of
from accounts.disputes.store import Cleared, Disputes, Document
from accounts.machine import IllegalTransition
from accounts.mutation import Context, Mutations, outcome_unknown
from accounts.requests import Answer
from accounts.transaction import Transaction
from holdfast.accounts.v1 import dispute_pb2
from holdfast.accounts.v1 import dispute_service_pb2 as pb
from holdfast.accounts.v1.dispute_service_pb2_grpc import DisputeServiceServicer
from runtime import ids
from runtime.clock import Clock
from runtime.errors import PermissionDenied
from runtime.events.outbox import emit
from runtime.identity import current_identity
from runtime.pages import cut
from runtime.request_records import RequestKey

_CREDITS = {
    Kind.PROVISIONAL_CREDIT: "CREDIT_GRANTED",
    Kind.PROVISIONAL_CREDIT_REVERSAL: "CREDIT_REVERSED",
}
_DESCRIPTION = "description"

#: A dispute after a change, with what is to be posted; the same object: nothing was changed.
Changed: TypeAlias = "Dispute | tuple[Dispute, tuple[Posting, ...]] | Refused | IllegalTransition"
Change: TypeAlias = Callable[[Disputes, Dispute], Awaitable[Changed]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the service is made of."""

    disputes: Disputes
    mutations: Mutations
    keys: ApplicationKeys
    documents: DisputeDocuments
    purchases: Purchases
    poster: DisputePoster
    ids: ids.IdSource
    clock: Clock
    delay_ms: int


class DisputeService(DisputeServiceServicer):
    """Disputes, from their receipt to their end."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def DisputeAuthorization(
        self, request: pb.DisputeAuthorizationRequest, context: Context
    ) -> pb.DisputeAuthorizationResponse:
        """Disputes a charge."""
        key = convert.opening(request, context)
        if not await self._parts.purchases.card_of(request.authorization_id):
            raise convert.authorization_not_found(request.authorization_id)

        async def effect(transaction: Transaction) -> Answer:
            disputes = Disputes(transaction.connection)
            await disputes.lock_purchase(request.authorization_id)
            cleared = await disputes.cleared(request.authorization_id)
            charge = charge_among(cleared, request.authorization_id, request.entry_id)
            dispute = await self._opened(transaction, request, charge, cleared, key)
            return self._answer(dispute)

        answer = await self._parts.mutations.run(key, effect, context)
        return pb.DisputeAuthorizationResponse(dispute=dispute_pb2.Dispute.FromString(answer))

    async def GetDispute(
        self, request: pb.GetDisputeRequest, context: Context
    ) -> pb.GetDisputeResponse:
        """Returns one dispute."""
        del context
        parts, dispute_id = self._parts, convert.dispute_id(request)
        dispute = await self._known(dispute_id)
        message = convert.dispute(dispute, now_ms=parts.clock.now_ms())
        if dispute.readable and dispute.description:
            said = parts.keys.open(dispute.description, dispute, what=_DESCRIPTION)
            message.description = said.decode()
        documents = await parts.disputes.documents(dispute_id)
        message.documents.extend(convert.document(one) for one in documents)
        staff = sees_all()
        for event in await parts.disputes.events(dispute_id):
            message.events.append(convert.event(event, dispute, staff=staff))
        return pb.GetDisputeResponse(dispute=message)

    async def ListDisputes(
        self, request: pb.ListDisputesRequest, context: Context
    ) -> pb.ListDisputesResponse:
        """Lists disputes, newest first."""
        del context
        page, states = convert.page(request)
        now_ms = self._parts.clock.now_ms()
        listed = await self._parts.disputes.page(
            page,
            states=states,
            account_id=request.account_id,
            card_id=request.card_id,
            overdue_at_ms=now_ms if request.overdue else None,
        )
        found, token = cut(page, listed, lambda one: one.id)
        return pb.ListDisputesResponse(
            disputes=[convert.dispute(one, now_ms=now_ms) for one in found],
            next_page_token=token,
        )

    async def AddDisputeDocument(
        self, request: pb.AddDisputeDocumentRequest, context: Context
    ) -> pb.AddDisputeDocumentResponse:
        """Hands in a document."""
        key, parts = convert.change(request, context), self._parts
        document = described(request, key, now_ms=parts.clock.now_ms())
        found = await self._known(request.dispute_id)
        await parts.documents.upload(parts.disputes, found, document, request.content)

        async def change(disputes: Disputes, dispute: Dispute) -> Changed:
            if not dispute.is_open:
                return rules.ended(dispute)
            if not dispute.readable:
                # Erased since the content was sealed: nothing tells of it, either.
                raise convert.claimant_erased(dispute)
            await hand_in(disputes, dispute, document)
            return dispute

        message = await self._change(key, request.dispute_id, change, context, own=True)
        kept = await self._document(parts.disputes, document.id, request.dispute_id)
        return pb.AddDisputeDocumentResponse(document=convert.document(kept), dispute=message)

    async def RevealDisputeDocument(
        self, request: pb.RevealDisputeDocumentRequest, context: Context
    ) -> pb.RevealDisputeDocumentResponse:
        """Shows a document."""
        key = convert.change(request, context)

        async def change(disputes: Disputes, dispute: Dispute) -> Changed:
            await self._document(disputes, request.document_id, dispute.id)
            return dispute

        # The audit log has who sees it before anybody does.
        await self._change(key, request.dispute_id, change, context)
        parts = self._parts
        dispute = await self._known(request.dispute_id)
        document = await self._document(parts.disputes, request.document_id, dispute.id)
        content = await parts.documents.show(dispute, document)
        return pb.RevealDisputeDocumentResponse(
            document=convert.document(document), content=content
        )

    async def AcknowledgeDispute(
        self, request: pb.AcknowledgeDisputeRequest, context: Context
    ) -> pb.AcknowledgeDisputeResponse:
        """Notes that receipt was acknowledged."""
        key = convert.change(request, context)

        async def change(disputes: Disputes, dispute: Dispute) -> Changed:
            after = rules.acknowledged(dispute, now_ms=self._parts.clock.now_ms())
            if isinstance(after, Dispute) and after is not dispute:
                await self._tell(disputes, after, "ACKNOWLEDGED")
            return after

        message = await self._change(key, request.dispute_id, change, context)
        return pb.AcknowledgeDisputeResponse(dispute=message)

    async def AdvanceDispute(
        self, request: pb.AdvanceDisputeRequest, context: Context
    ) -> pb.AdvanceDisputeResponse:
        """Takes a dispute further."""
        key = convert.change(request, context)
        transition = rules.ADVANCES[convert.advance_to(request)]

        async def change(disputes: Disputes, dispute: Dispute) -> Changed:
            after = rules.moved(dispute, transition, now_ms=self._parts.clock.now_ms())
            if isinstance(after, Dispute) and after is not dispute:
                await self._tell(disputes, after, "MOVED")
            return after

        message = await self._change(key, request.dispute_id, change, context)
        return pb.AdvanceDisputeResponse(dispute=message)

    async def GrantProvisionalCredit(
        self, request: pb.GrantProvisionalCreditRequest, context: Context
    ) -> pb.GrantProvisionalCreditResponse:
        """Credits the account while the dispute is open."""
        key = convert.change(request, context)

        async def change(disputes: Disputes, dispute: Dispute) -> Changed:
            del disputes
            amount_minor = convert.amount_minor(request.amount, dispute.currency_code)
            now_ms = self._parts.clock.now_ms()
            return rules.granted(dispute, amount_minor=amount_minor, now_ms=now_ms)

        message = await self._change(key, request.dispute_id, change, context)
        return pb.GrantProvisionalCreditResponse(dispute=message)

    async def ReverseProvisionalCredit(
        self, request: pb.ReverseProvisionalCreditRequest, context: Context
    ) -> pb.ReverseProvisionalCreditResponse:
        """Takes provisional credit back."""
        key = convert.change(request, context)

        async def change(disputes: Disputes, dispute: Dispute) -> Changed:
            del disputes
            amount_minor = convert.amount_minor(request.amount, dispute.currency_code)
            now_ms = self._parts.clock.now_ms()
            return rules.taken_back(dispute, amount_minor=amount_minor, now_ms=now_ms)

        message = await self._change(key, request.dispute_id, change, context)
        return pb.ReverseProvisionalCreditResponse(dispute=message)

    async def ResolveDispute(
        self, request: pb.ResolveDisputeRequest, context: Context
    ) -> pb.ResolveDisputeResponse:
        """Ends a dispute."""
        key = convert.change(request, context)

        async def change(disputes: Disputes, dispute: Dispute) -> Changed:
            del disputes
            liability = convert.liability(request, dispute)
            return rules.resolved(dispute, liability, now_ms=self._parts.clock.now_ms())

        message = await self._change(key, request.dispute_id, change, context)
        return pb.ResolveDisputeResponse(dispute=message)

    async def WithdrawDispute(
        self, request: pb.WithdrawDisputeRequest, context: Context
    ) -> pb.WithdrawDisputeResponse:
        """Takes a dispute back."""
        key = convert.change(request, context)

        async def change(disputes: Disputes, dispute: Dispute) -> Changed:
            del disputes
            return rules.withdrawn(dispute, now_ms=self._parts.clock.now_ms())

        message = await self._change(key, request.dispute_id, change, context, own=True)
        return pb.WithdrawDisputeResponse(dispute=message)

    async def _known(self, dispute_id: str) -> Dispute:
        found = await self._parts.disputes.get(dispute_id)
        if found is None:
            raise convert.dispute_not_found(dispute_id)
        return found

    async def _document(self, disputes: Disputes, name: str, dispute_id: str) -> Document:
        for one in await disputes.documents(dispute_id):
            if one.id == name:
                return one
        raise convert.document_not_found(name)

    async def _opened(
        self,
        transaction: Transaction,
        request: pb.DisputeAuthorizationRequest,
        charge: Cleared,
        cleared: list[Cleared],
        key: RequestKey,
    ) -> Dispute:
        parts, now_ms = self._parts, self._parts.clock.now_ms()
        disputes, billing = Disputes(transaction.connection), Billing(transaction.connection)
        account = await billed(billing, charge.account_id, now_ms=now_ms, delay_ms=parts.delay_ms)
        owned = await transaction.steady_account(charge.account_id)
        assert owned is not None, "a charge refers to its account"
        today = account.day(now_ms)
        amount_minor = rules.disputable(
            charge_of(charge, cleared, account),
            await disputes.earlier(request.authorization_id),
            amount_minor=convert.amount_minor(request.amount, owned.currency_code),
            today=today,
        )
        if isinstance(amount_minor, Refused):
            raise convert.refused(amount_minor)
        dispute = self._new(
            request,
            charge,
            owned,
            await self._claimant(disputes, charge, owned),
            amount_minor=amount_minor,
        )
        dispute = replace(
            dispute,
            acknowledge_due_time_ms=account.acknowledge_ms(today),
            resolve_due_time_ms=account.resolve_ms(today),
        )
        await disputes.insert(dispute)
        await disputes.insert_event(dispute, "SUBMITTED", actor=key.principal, now_ms=now_ms)
        await emit(transaction.connection, [happenings.submitted(dispute)])
        if account.account is not None and account.product is not None:
            disputed = Disputed(
                dispute_id=dispute.id,
                entry_id=charge.entry_id,
                category=Category(charge.category),
                amount_minor=amount_minor,
                on=account.product.day(charge.value_time_ms),
                since=today,
            )
            after = aside.opened(
                account.account, disputed, account.product, shown_due=charge.due_date
            )
            await billing.update([after])
        return dispute

    async def _claimant(
        self, disputes: Disputes, charge: Cleared, owned: Account
    ) -> tuple[str, bytes]:
        """Whose words a dispute has, with the key that seals them: the card's user, or the owner;
        a company has no words of its own, so who calls has.
        """
        owner_id = owned.owner_id if ids.is_id(owned.owner_id, ids.USER) else ""
        user_id = charge.user_id or owner_id or calling_user()
        return user_id, await disputes.person_key(user_id) if user_id else b""

    def _new(
        self,
        request: pb.DisputeAuthorizationRequest,
        charge: Cleared,
        owned: Account,
        claimant: tuple[str, bytes],
        *,
        amount_minor: int,
    ) -> Dispute:
        parts, now_ms = self._parts, self._parts.clock.now_ms()
        user_id, person_key = claimant
        dispute_id = parts.ids.new(ids.DISPUTE, ids.partition_of(charge.account_id))
        data_key = b""
        if person_key:
            data_key = parts.keys.new(dispute_id, user_id=user_id, person_key=person_key)
        dispute = Dispute(
            id=dispute_id,
            account_id=charge.account_id,
            card_id=charge.card_id,
            user_id=user_id,
            authorization_id=request.authorization_id,
            entry_id=charge.entry_id,
            category=charge.category,
            reason=convert.reason_name(request.reason),
            state=State.SUBMITTED,
            currency_code=owned.currency_code,
            amount_minor=amount_minor,
            description=b"",
            data_key=data_key,
            person_key=person_key,
            credited_minor=0,
            merchant_minor=0,
            issuer_minor=0,
            cardholder_minor=0,
            acknowledge_due_time_ms=now_ms,
            resolve_due_time_ms=now_ms,
            acknowledged_ms=0,
            ended_ms=0,
            version=1,
            create_time_ms=now_ms,
            update_time_ms=now_ms,
        )
        if not request.description:
            return dispute
        if not dispute.readable:
            raise convert.claimant_erased(dispute)
        said = parts.keys.seal(request.description.encode(), dispute, what=_DESCRIPTION)
        return replace(dispute, description=said)

    async def _change(
        self,
        key: RequestKey,
        dispute_id: str,
        change: Change,
        context: Context,
        *,
        own: bool = False,
    ) -> dispute_pb2.Dispute:
        """The same steps for every change; `own`: cardholders may do it, too. Answers once the
        ledger has what is to be posted.
        """
        if not own and not is_staff():
            raise PermissionDenied("only the bank's staff does this", reason="STAFF_ONLY")

        async def effect(transaction: Transaction) -> Answer:
            disputes = Disputes(transaction.connection)
            dispute = await disputes.get(dispute_id, locked=True)
            if dispute is None:
                raise convert.dispute_not_found(dispute_id)
            changed = await change(disputes, dispute)
            if isinstance(changed, IllegalTransition):
                raise refusal(changed)
            if isinstance(changed, Refused):
                raise convert.refused(changed)
            after, postings = changed if isinstance(changed, tuple) else (changed, ())
            await self._write(transaction, dispute, after, postings)
            return self._answer(after)

        answer = await self._parts.mutations.run(key, effect, context)
        if not await self._parts.poster.settle(dispute_id):
            raise outcome_unknown("the authorizer")
        return dispute_pb2.Dispute.FromString(answer)

    async def _write(
        self,
        transaction: Transaction,
        before: Dispute,
        after: Dispute,
        postings: tuple[Posting, ...],
    ) -> None:
        if after is before:
            return
        disputes, now_ms = Disputes(transaction.connection), self._parts.clock.now_ms()
        for posting in postings:
            await disputes.insert_posting(after.id, posting, now_ms=now_ms)
            if posting.kind in _CREDITS:
                await self._tell(
                    disputes, after, _CREDITS[posting.kind], amount_minor=posting.amount_minor
                )
        await disputes.update(after)
        await emit(transaction.connection, happenings.of_change(before, after, postings))
        if after.is_open or not before.is_open:
            return
        await self._tell(disputes, after, "ENDED")
        billing = Billing(transaction.connection)
        account = await billed(
            billing, after.account_id, now_ms=now_ms, delay_ms=self._parts.delay_ms
        )
        if account.account is not None:
            won_minor = after.merchant_minor + after.issuer_minor
            on = account.day(now_ms)
            await billing.update(
                [aside.ended(account.account, after.id, on=on, won_minor=won_minor)]
            )

    async def _tell(
        self, disputes: Disputes, dispute: Dispute, kind: str, *, amount_minor: int = 0
    ) -> None:
        await disputes.insert_event(
            dispute,
            kind,
            actor=current_identity().principal,
            now_ms=self._parts.clock.now_ms(),
            amount_minor=amount_minor,
        )

    def _answer(self, dispute: Dispute) -> Answer:
        message = convert.dispute(dispute, now_ms=self._parts.clock.now_ms())
        return Answer(response=message.SerializeToString(), outbox_key=dispute.account_id)
