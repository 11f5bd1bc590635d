"""GetAuthorization: readable at once, and the same from Valkey, journal and ledger."""

from __future__ import annotations

import pytest

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import decline_reason_pb2 as reasons
from tests.authz_checks import (
    UNKNOWN_AUTHORIZATION,
    UNKNOWN_CARD,
    approved,
    expire_records,
    fetched,
    network_purchase,
    refused,
    usd,
)
from tests.authz_mesh import ADMIN, NETWORK, OTHER_NETWORK, AuthzMesh, capture_of, purchase

AUDITOR = (("x-auth-subject", "usr_auditor"), ("x-auth-roles", "auditor"))


def full_purchase(card: str, now_ms: int) -> rpc.AuthorizeRequest:
    """A purchase with every field; its bytes are no UTF-8."""
    request = network_purchase(card, 12_345, "ünïcode-1")
    request.merchant_amount.currency_code = "EUR"
    request.merchant_amount.amount_minor = 11_222
    request.conversion_rate = "1.100071"
    request.cash_amount.CopyFrom(usd(2_000))
    request.acquirer_fee.CopyFrom(usd(300))
    request.merchant.city = "Zürich"
    request.point_of_sale.entry_mode = pb.ENTRY_MODE_CHIP
    request.point_of_sale.card_present = True
    request.verification.cvv = pb.CHECK_RESULT_MATCH
    request.network_data.stan = "000123"
    request.network_data.rrn = "4213AB"
    request.network_data.authorization_code = "OK77"
    request.initiator = pb.INITIATOR_CARDHOLDER
    request.wallet.type = "apple_pay"
    request.transmission_time.FromMilliseconds(now_ms - 1_234)
    request.transaction_time.FromMilliseconds(now_ms - 5_678)
    return request


async def _from_everywhere(mesh: AuthzMesh, authorization_id: str) -> pb.Authorization:
    """Read from the journal, from hold and ledger, and from the ledger alone: all the same."""
    unsettled = await fetched(mesh, authorization_id)
    await mesh.settle()
    assert await fetched(mesh, authorization_id) == unsettled
    assert await expire_records(mesh.money, "hold")
    assert await fetched(mesh, authorization_id) == unsettled
    return unsettled


async def test_approval_with_every_field(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    request = full_purchase(card, mesh.clock.now_ms())
    answer = await mesh.authorization.Authorize(request, metadata=NETWORK)
    await approved(mesh, card, 1)
    found = await _from_everywhere(mesh, answer.authorization_id)
    assert found == pb.Authorization(
        id=answer.authorization_id,
        account_id=account,
        card_id=card,
        state=pb.Authorization.STATE_PENDING,
        decision=pb.DECISION_APPROVED,
        response_code="00",
        authorization_code="OK77",
        requested_amount=usd(12_345),
        authorized_amount=usd(12_345),
        reversed_amount=usd(0),
        captured_amount=usd(0),
        held_amount=usd(12_345),
        merchant_amount=request.merchant_amount,
        conversion_rate="1.100071",
        merchant=request.merchant,
        point_of_sale=request.point_of_sale,
        network_data=request.network_data,
        transaction_time=request.transaction_time,
        decide_time=answer.decide_time,
        expire_time=answer.expire_time,
        update_time=answer.decide_time,
        refunded_amount=usd(0),
        decider="holdfast",
    )


async def test_update_time_is_that_of_the_last_movement(mesh: AuthzMesh) -> None:
    held = await approved(mesh, await mesh.card(), 1_000)
    mesh.clock.advance(90_000)
    await mesh.authorization.CaptureAuthorization(capture_of(held, 300), metadata=NETWORK)
    found = await _from_everywhere(mesh, held)
    assert found.update_time.ToMilliseconds() == mesh.clock.now_ms()
    assert found.decide_time.ToMilliseconds() == mesh.clock.now_ms() - 90_000
    assert (found.captured_amount, found.held_amount) == (usd(300), usd(700))


async def test_decline(mesh: AuthzMesh) -> None:
    card = await mesh.card(limit_minor=10)
    answer = await mesh.authorization.Authorize(purchase(card, 1_000), metadata=NETWORK)
    found = await _from_everywhere(mesh, answer.authorization_id)
    assert found.state == pb.Authorization.STATE_DECLINED
    assert found.decision == pb.DECISION_DECLINED
    assert found.decline_reason == reasons.DECLINE_REASON_INSUFFICIENT_CREDIT
    assert (found.response_code, found.authorization_code) == ("51", "")
    assert (found.requested_amount, found.authorized_amount) == (usd(1_000), usd(0))
    assert not found.HasField("expire_time")


async def test_decline_of_an_unknown_card(mesh: AuthzMesh) -> None:
    answer = await mesh.authorization.Authorize(purchase(UNKNOWN_CARD, 1_000), metadata=NETWORK)
    found = await _from_everywhere(mesh, answer.authorization_id)
    assert (found.account_id, found.card_id) == ("", UNKNOWN_CARD)
    assert found.decline_reason == reasons.DECLINE_REASON_CARD_NOT_FOUND
    assert found.held_amount == usd(0)


async def test_transaction_time_is_the_best_that_is_known(mesh: AuthzMesh) -> None:
    card, now_ms = await mesh.card(), mesh.clock.now_ms()
    sent = purchase(card, 1)
    sent.transmission_time.FromMilliseconds(now_ms - 5)
    answer = await mesh.authorization.Authorize(sent, metadata=NETWORK)
    found = await _from_everywhere(mesh, answer.authorization_id)
    assert found.transaction_time.ToMilliseconds() == now_ms - 5
    plain = await approved(mesh, card, 1)
    assert (await fetched(mesh, plain)).transaction_time.ToMilliseconds() == now_ms


@pytest.mark.parametrize("settled", [False, True])
async def test_own_or_by_role_only(mesh: AuthzMesh, *, settled: bool) -> None:
    held = await approved(mesh, await mesh.card(), 1_000)
    if settled:
        await mesh.settle()
        await expire_records(mesh.money, "hold")
    ours = await fetched(mesh, held)
    assert await fetched(mesh, held, ADMIN) == ours
    assert await fetched(mesh, held, AUDITOR) == ours
    error = await refused(
        mesh.authorization.GetAuthorization,
        rpc.GetAuthorizationRequest(authorization_id=held),
        metadata=OTHER_NETWORK,
    )
    assert (error.code.name, error.reason) == ("NOT_FOUND", "AUTHORIZATION_NOT_FOUND")


async def test_unknown_is_not_found(mesh: AuthzMesh) -> None:
    error = await refused(
        mesh.authorization.GetAuthorization,
        rpc.GetAuthorizationRequest(authorization_id=UNKNOWN_AUTHORIZATION),
    )
    assert (error.code.name, error.reason) == ("NOT_FOUND", "AUTHORIZATION_NOT_FOUND")
    assert error.metadata == {"field": "authorization_id"}


async def test_what_is_no_id_is_refused(mesh: AuthzMesh) -> None:
    for name in ("", "auth_1", "card_0a" + "0" * 32, "auth_40" + "0" * 32, "\n"):
        error = await refused(
            mesh.authorization.GetAuthorization, rpc.GetAuthorizationRequest(authorization_id=name)
        )
        assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", ["authorization_id"])
