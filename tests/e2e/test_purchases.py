"""Purchases through the whole mesh: the network over mTLS and the edge over JSON, side by side."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from holdfast.accounts.v1 import account_service_pb2 as accounts
from holdfast.accounts.v1 import card_pb2
from holdfast.accounts.v1 import card_service_pb2 as cards
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import decline_reason_pb2 as reasons
from holdfast.type.v1.money_pb2 import Money
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient, connect
from tests.authz_mesh import purchase

#: How soon a call that was shed is sent again.
_AGAIN_S = 0.05


@pytest.fixture
async def client(full_mesh: Devstack) -> AsyncIterator[MeshClient]:
    assert full_mesh.ports is not None
    async with connect(full_mesh.settings, full_mesh.ports) as client:
        yield client


async def open_card(client: MeshClient, *, limit_minor: int, partition: int = 5) -> tuple[str, str]:
    """An account and an active card on it."""
    account = await client.accounts.OpenAccount(
        accounts.OpenAccountRequest(
            request_id=f"open-{uuid.uuid4().hex}",
            owner_id=f"usr_{partition:02x}{'0' * 31}1",
            credit_limit=Money(currency_code="USD", amount_minor=limit_minor),
        )
    )
    card = await client.cards.IssueCard(
        cards.IssueCardRequest(
            request_id=f"issue-{uuid.uuid4().hex}",
            account_id=account.account.id,
            kind=card_pb2.Card.KIND_VIRTUAL,
        )
    )
    return account.account.id, card.card.id


def fresh(card_id: str, amount_minor: int) -> rpc.AuthorizeRequest:
    """A purchase under a request id that nobody has used."""
    return purchase(card_id, amount_minor, uuid.uuid4().hex)


async def over_json(client: MeshClient, request: rpc.AuthorizeRequest) -> dict[str, Any]:
    """The same purchase as JSON."""
    body = json_format.MessageToDict(request, preserving_proto_field_name=True)
    answer = await client.web.post("/v1/authorizations", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_two_hundred_mixed_purchases_spend_exactly_the_limit(client: MeshClient) -> None:
    """200 purchases of 10.00 on 1,000.00, over gRPC and JSON at once: exactly 100 approved. A busy
    machine sheds some of such a burst: the network sends those again, and they count once.
    """
    account_id, card_id = await open_card(client, limit_minor=100_000)

    async def one(number: int) -> str:
        request = fresh(card_id, 1_000)
        if number % 2:
            return str((await over_json(client, request))["decision"])
        while True:
            try:
                answer = await client.network.Authorize(request)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                await asyncio.sleep(_AGAIN_S)
            else:
                return pb.Decision.Name(answer.decision)

    decisions = Counter(await asyncio.gather(*(one(number) for number in range(200))))
    assert decisions == {"DECISION_APPROVED": 100, "DECISION_DECLINED": 100}
    balance = await client.authorizations.GetBalance(rpc.GetBalanceRequest(account_id=account_id))
    assert balance.held.amount_minor == 100_000
    assert balance.available_credit.amount_minor == 0


async def test_json_and_grpc_give_the_same_answer(client: MeshClient) -> None:
    """One request, sent over gRPC, JSON and with the Idempotency-Key header: one answer."""
    _, card_id = await open_card(client, limit_minor=100_000)
    request = fresh(card_id, 1_234)
    first = await client.authorizations.Authorize(request)
    body = json_format.MessageToDict(request, preserving_proto_field_name=True)
    again = await client.web.post("/v1/authorizations", json=body)
    assert again.headers["idempotent-replayed"] == "true"
    assert json_format.ParseDict(again.json(), rpc.AuthorizeResponse()) == first
    key = body.pop("request_id")
    by_header = await client.web.post(
        "/v1/authorizations", json=body, headers={"Idempotency-Key": key}
    )
    assert by_header.json() == again.json()


async def test_the_purchase_after_a_freeze_is_declined(client: MeshClient) -> None:
    """FreezeCard answers once every worker declines, though all have the card in their cache."""
    _, card_id = await open_card(client, limit_minor=1_000_000)
    for _ in range(5):
        await asyncio.gather(*(client.network.Authorize(fresh(card_id, 1)) for _ in range(8)))
        await client.cards.FreezeCard(
            cards.FreezeCardRequest(request_id=uuid.uuid4().hex, card_id=card_id)
        )
        answers = await asyncio.gather(
            *(client.network.Authorize(fresh(card_id, 1)) for _ in range(8))
        )
        assert {a.decline_reason for a in answers} == {reasons.DECLINE_REASON_CARD_FROZEN}
        await client.cards.UnfreezeCard(
            cards.UnfreezeCardRequest(request_id=uuid.uuid4().hex, card_id=card_id)
        )
    answer = await client.network.Authorize(fresh(card_id, 1))
    assert answer.decision == pb.DECISION_APPROVED


async def test_an_unknown_card_is_a_decline_and_malformed_input_is_not(client: MeshClient) -> None:
    """A decline is an answer; a malformed request names its fields, over gRPC and JSON alike."""
    unknown = f"card_05{uuid.uuid4().hex}"
    answer = await client.network.Authorize(fresh(unknown, 1))
    assert answer.decline_reason == reasons.DECLINE_REASON_CARD_NOT_FOUND
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.network.Authorize(fresh("4111111111111111", 1))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    answer_json = await client.web.post("/v1/authorizations", json={"card_id": "nonsense"})
    assert answer_json.status_code == 400
    details = answer_json.json()["details"]
    fields = {v["field"] for d in details for v in d.get("field_violations", [])}
    assert {"request_id", "card_id", "amount", "merchant.descriptor"} <= fields


@pytest.mark.parametrize(
    "body", ["{", "[]", '"text"', '{"amount": "ten"}', '{"amount": {"amount_minor": 1e30}}']
)
async def test_malformed_json_is_a_json_400(client: MeshClient, body: str) -> None:
    """What is no AuthorizeRequest at all is refused before it reaches a service, as JSON."""
    answer = await client.web.post(
        "/v1/authorizations", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]


NOT_FOUND = {
    "/v1/accounts/acct_05{0}": "get",
    "/v1/accounts/acct_05{0}/balance": "get",
    "/v1/accounts/acct_05{0}/cards": "get",
    "/v1/cards/card_05{0}": "get",
    "/v1/authorizations/auth_05{0}": "get",
    "/v1/cards/card_05{0}:freeze": "post",
    "/v1/cards/card_05{0}:unfreeze": "post",
    "/v1/cards/card_05{0}:close": "post",
    "/v1/authorizations/auth_05{0}:reverse": "post",
}


@pytest.mark.parametrize(("path", "verb"), NOT_FOUND.items())
async def test_unknown_ids_are_not_found(client: MeshClient, path: str, verb: str) -> None:
    """An id that nobody has is 404 with a reason; one that is no id is 400 naming the field."""
    unknown = path.format(uuid.uuid4().hex)
    answers = []
    for url in (unknown, path.format("zz")):
        if verb == "post":
            answers.append(await client.web.post(url, json={"request_id": uuid.uuid4().hex}))
        else:
            answers.append(await client.web.get(url))
    assert [answer.status_code for answer in answers] == [404, 400]
    reasons_found = [detail.get("reason", "") for detail in answers[0].json()["details"]]
    assert any(reason.endswith("_NOT_FOUND") for reason in reasons_found)
    fields = [
        v["field"] for d in answers[1].json()["details"] for v in d.get("field_violations", [])
    ]
    assert fields
