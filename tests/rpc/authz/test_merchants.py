"""What merchants are told of a purchase: its fate, and not what the cardholder has left."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from tests.authz_checks import approved, fetched, usd
from tests.authz_mesh import (
    ADMIN,
    MERCHANT,
    NETWORK,
    AuthzMesh,
    capture_of,
    purchase,
    reversal_of,
)
from tests.authz_messages import increment_of, refund_of
from tests.rpc.authz.test_spend_limits import daily, limited

BOTH = (MERCHANT[0], ("x-auth-roles", "merchant cardholder"))
STAFF = (("x-auth-subject", MERCHANT[0][1]), ("x-auth-roles", "admin merchant"))


@pytest.mark.parametrize(
    ("caller", "told"),
    [(MERCHANT, False), (BOTH, False), (NETWORK, True), (ADMIN, True), (STAFF, True)],
    ids=["merchant", "who buys, too", "network", "admin", "staff"],
)
async def test_what_is_left_is_no_merchants_business(
    mesh: AuthzMesh, caller: Any, told: bool
) -> None:
    """Of each movement, answered and replayed."""
    card = await mesh.card(limit_minor=100_000)
    calls = mesh.authorization
    asked = purchase(card, 1_000)
    held = (await calls.Authorize(asked, metadata=caller)).authorization_id
    movements: tuple[tuple[Any, Any], ...] = (
        (calls.Authorize, asked),
        (calls.IncrementAuthorization, increment_of(held, 500)),
        (calls.CaptureAuthorization, capture_of(held, 700)),
        (calls.Refund, refund_of(held, 100)),
        (calls.ReverseAuthorization, reversal_of(held)),
    )
    for method, request in movements:
        for _ in range(2):
            answer = await method(request, metadata=caller)
            assert answer.HasField("available_credit") == told, answer
    asked = purchase(card, 0)
    asked.message_type = pb.MESSAGE_TYPE_BALANCE_INQUIRY
    assert (await calls.Authorize(asked, metadata=caller)).HasField("available_credit") == told


async def test_nor_is_what_a_control_leaves(mesh: AuthzMesh) -> None:
    """Which control it was is told: the purchase may be smaller."""
    card = await limited(mesh, daily(1_000, count=5))
    await approved(mesh, card, 600)
    for caller, told in ((MERCHANT, False), (NETWORK, True)):
        answer = await mesh.authorization.Authorize(purchase(card, 401), metadata=caller)
        await mesh.settle()
        listed = await mesh.authorization.ListAuthorizations(
            rpc.ListAuthorizationsRequest(card_id=card), metadata=caller
        )
        read = await fetched(mesh, answer.authorization_id, caller)
        [same] = [one for one in listed.authorizations if one.id == answer.authorization_id]
        for control in (answer.control, read.control, same.control):
            assert control.control_id == "card/daily"
            assert control.HasField("left_amount") == told
            assert not told or control.left_amount == usd(400)
    everything = await fetched(mesh, answer.authorization_id, ADMIN)
    assert everything.control == answer.control
