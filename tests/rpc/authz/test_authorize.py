"""Authorize over a real gRPC server, a real Valkey and a real ledger."""

from __future__ import annotations

import asyncio

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import decline_reason_pb2 as reasons
from tests.authz_mesh import NETWORK, AuthzMesh, purchase


async def test_approval_holds_credit(mesh: AuthzMesh) -> None:
    card = await mesh.card(limit_minor=100_000)
    answer = await mesh.authorization.Authorize(purchase(card, 1_000), metadata=NETWORK)
    assert answer.decision == pb.DECISION_APPROVED
    assert answer.response_code == "00"
    assert answer.approved_amount.amount_minor == 1_000
    assert answer.available_credit.amount_minor == 99_000
    assert len(answer.authorization_code) == 6


async def test_two_hundred_concurrent_purchases_spend_exactly_the_limit(mesh: AuthzMesh) -> None:
    card = await mesh.card(limit_minor=100_000)
    answers = await asyncio.gather(
        *(mesh.authorization.Authorize(purchase(card, 1_000), metadata=NETWORK) for _ in range(200))
    )
    approved = [a for a in answers if a.decision == pb.DECISION_APPROVED]
    declined = [a for a in answers if a.decision == pb.DECISION_DECLINED]
    assert len(approved) == 100
    assert {a.decline_reason for a in declined} == {reasons.DECLINE_REASON_INSUFFICIENT_CREDIT}
    assert {a.response_code for a in declined} == {"51"}
    assert await mesh.settle() == 202
