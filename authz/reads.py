"""Reads: one authorization (Valkey first, then the ledger), lists (ledger), balances (Valkey)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from authz import answers, entry
from authz.decision import Reason
from authz.entry import Decider
from authz.hold import APPROVED, Hold
from authz.ledger_store import LedgerStore, ask
from authz.money_store import MoneyStore
from authz.movement import authorization_not_found
from authz.outcome import DECISIONS, EntryType
from authz.ownership import account_not_found
from authz.stored import StoredHold
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import movement_pb2 as movements
from holdfast.authz.v1.decline_reason_pb2 import DeclineReason
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.clock import datetime_of, ms_of
from runtime.identity import Identity
from runtime.paging import Page, Position, page_of
from runtime.validate import Violations, timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What the first entry of an authorization says: the question and the answer."""

    type: EntryType
    request: bytes
    reason: int
    approved_minor: int
    code: str
    recorded_at_ms: int
    control: str
    control_left_minor: int
    control_left_count: int
    decided_by: str
    external_reason: str


class Reads:
    """Answers questions; changes nothing."""

    def __init__(self, store: MoneyStore, ledger: LedgerStore) -> None:
        self._store = store
        self._ledger = ledger

    async def authorization(self, authorization_id: str, identity: Identity) -> pb.Authorization:
        """One authorization as it is now; another caller's is NOT_FOUND."""
        check = Violations()
        check.id("authorization_id", authorization_id, ids.AUTHORIZATION)
        check.raise_if_any()
        hold = await self._store.hold(authorization_id)
        if hold is None:
            row = await ask(self._ledger.authorization(authorization_id))
            if row is None:
                raise authorization_not_found()
            _check_owner(row["principal"], identity)
            return _told(settled(row), identity)
        _check_owner(hold.principal, identity)
        decided = await self._first_entry(authorization_id, hold)
        currency = await self._currency(hold.account_id)
        totals = Hold(
            approved_minor=hold.approved_minor,
            reversed_minor=hold.reversed_minor,
            captured_minor=hold.captured_minor,
            refunded_minor=hold.refunded_minor,
            flags=hold.flags,
        )
        found = compose(
            authorization_id,
            account_id=hold.account_id,
            card_id=hold.card_id,
            currency=currency,
            hold=totals,
            expire_at_ms=hold.expire_at_ms,
            decided=decided,
        )
        found.update_time.CopyFrom(timestamp(hold.updated_at_ms))
        return _told(found, identity)

    async def _first_entry(self, authorization_id: str, hold: StoredHold) -> Decided | None:
        """The deciding entry: in the stream until it is settled, then in the ledger."""
        if not hold.first_pseq:
            return None
        tag = ids.tag_of(authorization_id)
        raw = await self._store.journaled(tag, hold.first_pseq)
        if raw is not None:
            found = entry.parse(raw)
            return Decided(
                type=found.outcome.type,
                request=found.request,
                reason=found.outcome.reason,
                approved_minor=found.outcome.amount_minor,
                code=found.outcome.authorization_code,
                recorded_at_ms=found.outcome.recorded_at_ms,
                control=found.outcome.control,
                control_left_minor=found.outcome.control_left_minor,
                control_left_count=found.outcome.control_left_count,
                decided_by=found.decided_by,
                external_reason=found.header.external_reason,
            )
        row = await ask(self._ledger.entry(int(tag, 16), hold.first_pseq))
        return decided_of(row) if row is not None else None

    async def _currency(self, account_id: str) -> str:
        account = await self._store.account(account_id) if account_id else None
        return account.currency_code if account else ""

    async def authorizations(
        self, request: rpc.ListAuthorizationsRequest, identity: Identity
    ) -> rpc.ListAuthorizationsResponse:
        """A page of settled authorizations, newest first."""
        check = Violations()
        check.id("account_id", request.account_id, ids.ACCOUNT, required=False)
        check.id("card_id", request.card_id, ids.CARD, required=False)
        if not request.account_id and not request.card_id:
            check.add("account_id", "is required, or card_id")
        page = page_of(
            request.page_size,
            request.page_token,
            scope=f"authorizations|{request.account_id}|{request.card_id}",
            violations=check,
        )
        check.raise_if_any()
        rows = await ask(
            self._ledger.authorizations(
                account_id=request.account_id or None,
                card_id=request.card_id or None,
                principal=(
                    None if identity.sees_everything or identity.owns else identity.principal
                ),
                before=(datetime_of(page.after.key), page.after.id) if page.after else None,
                limit=page.fetch,
            )
        )
        shown, more = page.cut(rows)
        return rpc.ListAuthorizationsResponse(
            authorizations=[_told(settled(row), identity) for row in shown],
            next_page_token=_token(page, shown[-1]) if more else "",
        )

    async def balance(self, account_id: str) -> rpc.GetBalanceResponse:
        """An account's balance at this moment."""
        check = Violations()
        check.id("account_id", account_id, ids.ACCOUNT)
        check.raise_if_any()
        found = await self._store.balance(account_id)
        if found is None:
            raise account_not_found(account_id)
        used = found.posted_minor + found.held_minor + found.unreleased_minor

        def money(amount_minor: int) -> Money:
            return Money(currency_code=found.currency_code, amount_minor=amount_minor)

        return rpc.GetBalanceResponse(
            account_id=account_id,
            credit_limit=money(found.limit_minor),
            posted=money(found.posted_minor),
            held=money(found.held_minor),
            unreleased=money(found.unreleased_minor),
            available_credit=money(found.limit_minor - used),
            seq=found.seq,
        )


def _check_owner(principal: str, identity: Identity) -> None:
    if principal != identity.principal and not (identity.sees_everything or identity.owns):
        raise authorization_not_found()


def _told(found: pb.Authorization, identity: Identity) -> pb.Authorization:
    """What the issuer thinks of a cardholder is nobody else's business."""
    if not identity.sees_everything:
        found.ClearField("external_reason")
    if identity.only_sells:
        answers.hide_left(found)
    return found


def _token(page: Page, row: Any) -> str:
    return page.token_after(Position(ms_of(row["create_time"]), row["id"]))


def decided_of(row: Any) -> Decided:
    """The deciding entry from its ledger row."""
    return Decided(
        type=EntryType(row["type"]),
        request=row["request"],
        reason=row["decline_reason"],
        approved_minor=row["amount_minor"],
        code=row["authorization_code"] or "",
        recorded_at_ms=ms_of(row["recorded_time"]),
        control=row["control"],
        control_left_minor=row["control_left_minor"],
        control_left_count=row["control_left_count"],
        decided_by=row["decided_by"] or "",
        external_reason=row["external_reason"],
    )


def settled(row: Any) -> pb.Authorization:
    """A settled authorization from its ledger row."""
    found = compose(
        row["id"],
        account_id=row["account_id"] or "",
        card_id=row["card_id"],
        currency=row["currency"],
        hold=Hold(
            approved_minor=row["approved_minor"],
            reversed_minor=row["reversed_minor"],
            captured_minor=row["captured_minor"],
            refunded_minor=row["refunded_minor"],
            flags=row["flags"],
        ),
        expire_at_ms=ms_of(row["expire_time"]) if row["expire_time"] else 0,
        decided=decided_of(row),
    )
    found.update_time.CopyFrom(timestamp(ms_of(row["update_time"])))
    return found


def compose(
    authorization_id: str,
    *,
    account_id: str,
    card_id: str,
    currency: str,
    hold: Hold,
    expire_at_ms: int,
    decided: Decided | None,
) -> pb.Authorization:
    """The resource from its totals and, unless it was created by a later message, its decision."""
    request = rpc.AuthorizeRequest()
    is_decision = decided is not None and decided.type in DECISIONS
    if decided is not None and is_decision:
        request.ParseFromString(decided.request)
    unit = currency or request.amount.currency_code

    def money(amount_minor: int) -> Money:
        return Money(currency_code=unit, amount_minor=amount_minor)

    found = pb.Authorization(
        id=authorization_id,
        account_id=account_id,
        card_id=card_id,
        state=answers.state(hold),
        authorized_amount=money(hold.approved_minor),
        reversed_amount=money(hold.reversed_minor),
        captured_amount=money(hold.captured_minor),
        held_amount=money(hold.held_minor),
        refunded_amount=money(hold.refunded_minor),
        decider=Decider.NETWORK,
    )
    if expire_at_ms:
        found.expire_time.CopyFrom(timestamp(expire_at_ms))
    if decided is not None and is_decision:
        _add_decision(found, request, decided, approved=APPROVED in hold.flags)
    elif decided is not None and decided.type is EntryType.FORCE_POST:
        forced = movements.ForcePostRequest.FromString(decided.request)
        found.merchant.CopyFrom(forced.merchant)
        found.network_data.CopyFrom(forced.network_data)
    return found


def _add_decision(
    found: pb.Authorization, request: rpc.AuthorizeRequest, decided: Decided, *, approved: bool
) -> None:
    """`approved` is what stands now: an advice may have overruled a decline."""
    reason = Reason.NONE if approved else Reason(decided.reason)
    found.decision = pb.DECISION_APPROVED if approved else pb.DECISION_DECLINED
    found.decline_reason = DeclineReason.ValueType(reason)
    found.decider, found.external_reason = decided.decided_by, decided.external_reason
    found.response_code = answers.response_code(
        reason,
        approved_minor=decided.approved_minor,
        requested_minor=request.amount.amount_minor,
        inquiry=request.message_type == pb.MESSAGE_TYPE_BALANCE_INQUIRY,
    )
    found.authorization_code = decided.code
    if decided.control and not approved:
        unit = found.authorized_amount.currency_code
        found.control.CopyFrom(answers.control_of(decided, unit))
    found.requested_amount.CopyFrom(request.amount)
    found.conversion_rate = request.conversion_rate
    for name in ("merchant_amount", "merchant", "point_of_sale", "network_data"):
        if request.HasField(name):
            getattr(found, name).CopyFrom(getattr(request, name))
    found.decide_time.CopyFrom(timestamp(decided.recorded_at_ms))
    if request.HasField("transaction_time"):
        found.transaction_time.CopyFrom(request.transaction_time)
    elif request.HasField("transmission_time"):
        found.transaction_time.CopyFrom(request.transmission_time)
    else:
        found.transaction_time.CopyFrom(found.decide_time)
