"""Which charge of a purchase is disputed, and until when: what the ledger, the statements and the
account's cycle say of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import grpc

from accounts.billing.account import BillingAccount, Phase
from accounts.billing.advance import advance
from accounts.billing.calendar import day_of, ends_ms
from accounts.billing.product import Product
from accounts.billing.products import Products
from accounts.billing.store import Billing
from accounts.disputes import convert
from accounts.disputes.dispute import Charge, acknowledge_by, resolve_by
from accounts.disputes.store import Cleared, Disputes
from holdfast.authz.v1 import ledger_service_pb2 as ledger
from holdfast.authz.v1.ledger_service_pb2_grpc import LedgerServiceStub
from runtime.errors import Unavailable

CALL_TIMEOUT_S = 3.0
#: What accounts without terms go by.
_ZONE = ZoneInfo("UTC")
_CHARGES = ("CAPTURE", "FINANCIAL", "FORCE_POST")
_REFUNDS = {"REFUND": -1, "REFUND_REVERSAL": 1}


class Purchases:
    """Knows purchases: those that were cleared from billing, others from the ledger."""

    def __init__(self, disputes: Disputes, channel: grpc.aio.Channel) -> None:
        self._disputes = disputes
        self._get_purchase: Any = LedgerServiceStub(channel).GetPurchase

    async def card_of(self, authorization_id: str) -> str:
        """The card of a purchase; '' if there is no such purchase. Raises Unavailable."""
        found = await self._disputes.card_of(authorization_id)
        if found:
            return found
        request = ledger.GetPurchaseRequest(authorization_id=authorization_id)
        try:
            answer = await self._get_purchase(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return ""
            raise Unavailable(
                "the ledger does not say what became of the purchase: repeat the same request",
                reason="OUTCOME_UNKNOWN",
            ) from error
        card_id: str = answer.card_id
        return card_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """An account as billing has it, locked; `account` is None if it is not billed."""

    account: BillingAccount | None
    product: Product | None

    @property
    def zone(self) -> ZoneInfo:
        """The timezone of its days."""
        return self.product.zone if self.product else _ZONE

    def day(self, instant_ms: int) -> date:
        """The day of an instant."""
        return day_of(instant_ms, self.zone)

    def acknowledge_ms(self, received: date) -> int:
        """By when a dispute must be acknowledged: the end of its last day."""
        return ends_ms(acknowledge_by(received), self.zone)

    def resolve_ms(self, received: date) -> int:
        """By when it must end."""
        cycle = rhythm = None
        if self.account is not None and self.product is not None:
            cycle = self.account.cycle
            rhythm = self.product.rhythm(self.product.day(self.account.opened_ms))
        return ends_ms(resolve_by(received, cycle, rhythm), self.zone)


async def billed(billing: Billing, account_id: str, *, now_ms: int, delay_ms: int) -> Billed:
    """Locks an account's billing; one whose first cycle has not begun begins it, if it can."""
    await billing.lock([account_id])
    account = await billing.account(account_id)
    if account is None:
        return Billed(account=None, product=None)
    product = await Products(billing).of(account, now_ms=now_ms)
    if product is None:
        return Billed(account=None, product=None)
    if account.phase is Phase.NEW:
        account = advance(account, (), product, now_ms=now_ms, delay_ms=delay_ms).account
    return Billed(account=account, product=product)


def charge_among(cleared: Sequence[Cleared], authorization_id: str, entry_id: str) -> Cleared:
    """The clearing that is meant: the one that is named, or the only one."""
    charges = [one for one in cleared if one.type in _CHARGES]
    if not charges:
        raise convert.charge_not_posted(authorization_id)
    if entry_id:
        found = next((one for one in charges if one.entry_id == entry_id), None)
        if found is None:
            raise convert.no_such_charge()
        return found
    if len(charges) > 1:
        raise convert.several_charges([one.entry_id for one in charges])
    return charges[0]


def charge_of(charge: Cleared, cleared: Sequence[Cleared], account: Billed) -> Charge:
    """A clearing as the rules see it."""
    owed = sum(
        one.amount_minor if one.type in _CHARGES else _REFUNDS.get(one.type, 0) * one.amount_minor
        for one in cleared
    )
    shown = charge.issued_ms
    return Charge(
        entry_id=charge.entry_id,
        amount_minor=charge.amount_minor,
        owed_minor=owed,
        posted_on=day_of(charge.value_time_ms, account.zone),
        shown_on=None if shown is None else day_of(shown, account.zone),
        billed=account.account is not None,
    )
