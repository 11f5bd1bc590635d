"""Charges and disputes in tests of accounts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from holdfast.accounts.v1 import dispute_pb2
from holdfast.accounts.v1 import dispute_service_pb2 as pb
from runtime.clock import datetime_of
from tests.accounts_applying import create_user
from tests.accounts_mesh import AccountsMesh, call, usd
from tests.accounts_people import ANNA, STAFF, as_user

Reason, State = dispute_pb2.Dispute.Reason, dispute_pb2.Dispute.State
_INSERT = """
    INSERT INTO billing_entry (entry_id, account_id, seq, type, change, category, amount_minor,
        value_time, post_time, card_id, user_id, authorization_id, payment_id, related_entry_id,
        descriptor, category_code, is_foreign)
    VALUES ($1, $2, $3, $4, $5, 'PURCHASE', $6, $7, $7, $8, $9, $10, '', '', 'Shop', '5999', false)
"""


class Shopper:
    """Anna, her account, her card, and what is charged to it."""

    def __init__(self, mesh: AccountsMesh, account_id: str, card_id: str) -> None:
        self.mesh, self.account_id, self.card_id = mesh, account_id, card_id
        self._numbers = 0

    async def charged(
        self, amount_minor: int, *, kind: str = "CAPTURE", purchase: str = "", days_ago: int = 0
    ) -> tuple[str, str]:
        """A clearing (or a refund) as billing has it; returns purchase and entry."""
        self._numbers += 1
        purchase = purchase or f"auth_0a{self._numbers:032x}"
        entry_id = f"ent_0a{self._numbers:032x}"
        posted = datetime_of(self.mesh.clock.now_ms()) - timedelta(days=days_ago)
        change = "CREDIT" if kind == "REFUND" else "DEBIT"
        await self.mesh.pool.execute(
            _INSERT,
            entry_id,
            self.account_id,
            self._numbers,
            kind,
            change,
            amount_minor,
            posted,
            self.card_id,
            ANNA,
            purchase,
        )
        return purchase, entry_id

    async def disputed(self, amount_minor: int = 10_000, **fields: Any) -> dispute_pb2.Dispute:
        """A new charge, disputed."""
        purchase, _ = await self.charged(amount_minor)
        request = disputing(purchase, request_id=self.mesh.request_id(), **fields)
        answer: pb.DisputeAuthorizationResponse = await call(
            self.mesh.disputes.DisputeAuthorization, request, **as_user(ANNA)
        )
        return answer.dispute

    async def staff(self, method: str, request: Any) -> dispute_pb2.Dispute:
        """What the bank's staff does to a dispute."""
        request.request_id = request.request_id or self.mesh.request_id()
        answer = await call(getattr(self.mesh.disputes, method), request, **STAFF)
        found: dispute_pb2.Dispute = answer.dispute
        return found

    async def advanced(self, dispute_id: str, *states: dispute_pb2.Dispute.State.ValueType) -> None:
        """Through these states."""
        for state in states:
            await self.staff(
                "AdvanceDispute", pb.AdvanceDisputeRequest(dispute_id=dispute_id, state=state)
            )


def disputing(purchase: str, **fields: Any) -> pb.DisputeAuthorizationRequest:
    """A dispute of all that may be disputed."""
    known: dict[str, Any] = {"request_id": "d-1", "reason": Reason.REASON_NOT_RECEIVED}
    return pb.DisputeAuthorizationRequest(authorization_id=purchase, **{**known, **fields})


def liability(merchant: int = 0, issuer: int = 0, cardholder: int = 0) -> dispute_pb2.Liability:
    """Who bears what."""
    return dispute_pb2.Liability(
        merchant=usd(merchant), issuer=usd(issuer), cardholder=usd(cardholder)
    )


async def shopper(mesh: AccountsMesh) -> Shopper:
    """Anna with an account of hers and a card."""
    await create_user(mesh, ANNA)
    account = await mesh.open_account(ANNA)
    card = await mesh.issue_card(account.id, user_id=ANNA)
    return Shopper(mesh, account.id, card.id)
