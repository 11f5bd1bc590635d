"""More than anybody needs: headers, bodies, messages, ids, pages. Each is refused as such."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest

from holdfast.accounts.v1 import account_service_pb2 as account_pb
from holdfast.authz.v1 import authorization_service_pb2 as pb
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient, connect
from runtime.paging import PAGE_SIZE_MAX
from runtime.server import MESSAGE_BYTES_MAX

UNKNOWN_CARD = "card_0a" + "4" * 32


@pytest.fixture
async def client(full_mesh: Devstack) -> AsyncIterator[MeshClient]:
    assert full_mesh.ports is not None
    async with connect(full_mesh.settings, full_mesh.ports) as client:
        yield client


@pytest.mark.parametrize(
    ("verb", "path", "more", "status"),
    [
        ("GET", "/v1/accounts", {"headers": {"x-large": "x" * 20_000}}, 431),
        ("GET", "/v1/accounts", {"headers": {f"x-{n}": "1" for n in range(80)}}, 431),
        ("GET", f"/v1/cards/{'c' * 17_000}", {}, 431),
        ("GET", f"/v1/cards/{'c' * 8_000}", {}, 400),
        ("GET", "/v1/accounts", {"params": {"page_token": "t" * 8_000}}, 400),
        ("GET", "/v1/accounts", {"params": {"owner_id": "o" * 8_000}}, 400),
        ("GET", "/v1/accounts", {"params": {"page_size": "9" * 40}}, 400),
        ("GET", "/v1/accounts", {"params": {"page_size": "-1"}}, 400),
        ("POST", "/v1/accounts", {"json": {"owner_id": "x" * 100_000}}, 413),
        ("POST", f"/v1/cards/{UNKNOWN_CARD}:freeze", {"json": {"request_id": "r" * 5_000}}, 400),
        (
            "POST",
            f"/v1/cards/{UNKNOWN_CARD}:freeze",
            {"json": {}, "headers": {"idempotency-key": "k" * 5_000}},
            400,
        ),
        (
            "POST",
            "/v1/sessions:login",
            {"json": {"email": "a@b.example", "password": "p" * 20_000}},
            400,
        ),
        ("POST", "/v1/authorizations", {"json": {"amount": {"amount_minor": "9" * 30}}}, 400),
        ("POST", "/v1/authorizations", {"content": b'{"card_id":' * 5_000}, 400),
    ],
    ids=range(14),
)
async def test_json(
    client: MeshClient, verb: str, path: str, more: dict[str, Any], status: int
) -> None:
    answer = await client.web.request(verb, path, **more)

    assert answer.status_code == status, answer.text
    assert answer.json()["code"] in (3, 8)
    assert len(answer.content) < 2_000, "an answer does not repeat what was too much"


async def test_a_message(client: MeshClient) -> None:
    """Larger than any of ours: the servers do not read it."""
    request = pb.AuthorizeRequest(card_id="c" * (MESSAGE_BYTES_MAX + 1))
    for stub in (client.authorizations, client.network):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.Authorize(request, timeout=5)
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    # And the connection still serves others.
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await client.network.GetAuthorization(pb.GetAuthorizationRequest(), timeout=5)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_page(client: MeshClient) -> None:
    """As large as one likes to ask for: never more than the largest page."""
    asked = account_pb.ListAccountsRequest(page_size=2**31 - 1)
    assert len((await client.accounts.ListAccounts(asked, timeout=5)).accounts) <= PAGE_SIZE_MAX


async def test_what_unpacks_to_more(client: MeshClient) -> None:
    """A compressed message that would unpack to much more than it may be."""
    request = account_pb.OpenAccountRequest(request_id=uuid.uuid4().hex, owner_id="0" * 2_000_000)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await client.accounts.OpenAccount(request, timeout=5, compression=grpc.Compression.Gzip)
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    bomb = httpx.Headers({"content-encoding": "gzip"})
    answer = await client.web.post("/v1/accounts", content=b"\x1f\x8b" + b"0" * 100, headers=bomb)
    assert answer.status_code in (400, 415)
