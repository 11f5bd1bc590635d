"""JSON at the edge: the same answers and errors as gRPC, and JSON whatever goes wrong."""

from __future__ import annotations

import json
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from holdfast.authz.v1 import authorization_service_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2_grpc as pb_grpc
from holdfast.type.v1 import money_pb2
from runtime.errors import InvalidArgument, RequestIdReused, Unavailable, Violation
from tests.e2e.edge.world import World

CAPTURE = "/v1/authorizations/auth_path:capture"


def _assert_json_error(answer: httpx.Response, *, status: int, code: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert set(document) == {"code", "message", "details"}
    assert document["code"] == code
    assert document["message"]


async def test_the_body_arrives_as_the_request(world: World) -> None:
    """Field names as in the contract, amounts as numbers or text, the path as a field."""
    answer = await world.web.post(
        CAPTURE,
        headers={**world.bearer(), "idempotency-key": "key-1"},
        json={"amount": {"amount_minor": "1234", "currency_code": "EUR"}, "final": True},
    )

    assert answer.status_code == 200
    assert world.upstream.last.request == pb.CaptureAuthorizationRequest(
        authorization_id="auth_path",
        amount=money_pb2.Money(amount_minor=1234, currency_code="EUR"),
        final=True,
    )
    assert world.upstream.last.values("idempotency-key") == ["key-1"]


async def test_json_and_grpc_give_the_same_answer(world: World) -> None:
    told = pb.GetBalanceResponse(
        account_id="acct_1",
        credit_limit=money_pb2.Money(amount_minor=2**53, currency_code="USD"),
        posted=money_pb2.Money(amount_minor=-5, currency_code="USD"),
        seq=7,
    )
    with world.upstream.answering("GetBalance", told):
        over_json = await world.web.get("/v1/accounts/acct_1/balance", headers=world.bearer())
        async with world.edge_channel() as channel:
            over_grpc = await pb_grpc.AuthorizationServiceStub(channel).GetBalance(
                pb.GetBalanceRequest(account_id="acct_1"),
                metadata=list(world.bearer().items()),
            )

    assert over_grpc == told
    assert json_format.ParseDict(over_json.json(), pb.GetBalanceResponse()) == told
    # Names as in the contract, 64-bit numbers as text, zeroes spelled out.
    assert over_json.json()["credit_limit"] == {
        "currency_code": "USD",
        "amount_minor": "9007199254740992",
    }


async def test_errors_come_with_their_details(world: World) -> None:
    error = InvalidArgument.of([Violation("amount.amount_minor", "must not be negative")])
    with world.upstream.answering("Authorize", error):
        over_json = await world.web.post("/v1/authorizations", headers=world.bearer(), json={})
        async with world.edge_channel() as channel:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await pb_grpc.AuthorizationServiceStub(channel).Authorize(
                    pb.AuthorizeRequest(), metadata=list(world.bearer().items())
                )

    _assert_json_error(over_json, status=400, code=3)
    details = {one["@type"].rsplit(".", 1)[1]: one for one in over_json.json()["details"]}
    assert details["ErrorInfo"]["reason"] == "INVALID_ARGUMENT"
    assert details["BadRequest"]["field_violations"][0]["field"] == "amount.amount_minor"
    status = rpc_status.from_call(raised.value)
    assert status is not None
    assert status.message == over_json.json()["message"]
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(RequestIdReused("r1"), 409, 6), (Unavailable("the gate is closed"), 503, 14)],
)
async def test_every_error_of_a_service_is_json(
    world: World, error: Exception, status: int, code: int
) -> None:
    with world.upstream.answering("Authorize", error):
        answer = await world.web.post("/v1/authorizations", headers=world.bearer(), json={})
    _assert_json_error(answer, status=status, code=code)
    assert answer.json()["details"][0]["reason"]


MALFORMED: dict[str, Any] = {
    "not JSON": b"{",
    "empty object missing": b"[]",
    "text for a message": b'{"amount": "ten"}',
    "text for a number": b'{"amount": {"amount_minor": "ten"}}',
    "a fraction for an integer": b'{"amount": {"amount_minor": 1.5}}',
    "beyond 64 bits": b'{"amount": {"amount_minor": "9223372036854775808"}}',
    "an unknown enum value": b'{"message_type": "MESSAGE_TYPE_NOPE"}',
    "not UTF-8": b'{"card_id": "\xff\xfe"}',
    "too deep": b'{"a":' * 5000,
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_json_is_a_json_400(world: World, name: str) -> None:
    answer = await world.web.post(
        "/v1/authorizations",
        headers={**world.bearer(), "content-type": "application/json"},
        content=MALFORMED[name],
    )
    _assert_json_error(answer, status=400, code=3)
    assert world.upstream.calls == []


async def test_a_deadline_that_passes_is_a_json_504(world: World) -> None:
    world.upstream.delay_s = 1
    try:
        answer = await world.web.get(
            "/v1/accounts", headers={**world.bearer(), "grpc-timeout": "100m"}
        )
    finally:
        world.upstream.delay_s = 0
    _assert_json_error(answer, status=504, code=4)


async def test_a_body_cannot_replace_the_id_in_the_path(world: World) -> None:
    answer = await world.web.post(
        CAPTURE,
        headers=world.bearer(),
        json={"authorization_id": "auth_body", "amount": {"amount_minor": 1}},
    )
    _assert_json_error(answer, status=400, code=3)
    assert world.upstream.calls == []


@pytest.mark.parametrize(
    ("verb", "path", "query"),
    [
        ("GET", "/v1/authorizations/auth_path", "authorization_id=auth_query"),
        ("GET", "/v1/authorizations/auth_path", "authorizationId=auth_query"),
        ("GET", "/v1/authorizations/auth_path", "authorization%5Fid=auth_query"),
        ("GET", "/v1/authorizations/auth_path", "authorization_id=auth_path"),
        ("GET", "/v1/authorizations/auth_path", "authorization_id"),
        ("GET", "/v1/authorizations/auth_path/", "authorization_id=auth_query"),
        ("GET", "/v1//authorizations/auth_path", "authorization_id=auth_query"),
        ("GET", "/v1/accounts/acct_path/cards", "page_size=1&account_id=acct_query"),
        ("POST", CAPTURE, "authorization_id=auth_query"),
    ],
)
async def test_a_query_cannot_replace_the_id_in_the_path(
    world: World, verb: str, path: str, query: str
) -> None:
    answer = await world.web.request(verb, f"{path}?{query}", headers=world.bearer())
    _assert_json_error(answer, status=400, code=3)
    assert world.upstream.calls == []


async def test_a_query_may_name_what_is_not_in_the_path(world: World) -> None:
    path = "/v1/accounts/acct_path/entries"
    found = await world.web.get(f"{path}?page_token=account_id", headers=world.bearer())
    assert found.status_code == 200, found.text
    found = await world.web.get("/v1/authorizations?account_id=acct_q", headers=world.bearer())
    assert world.upstream.last.request.account_id == "acct_q"


async def test_an_unknown_query_parameter_is_refused(world: World) -> None:
    answer = await world.web.get("/v1/accounts", params={"colour": "red"}, headers=world.bearer())
    _assert_json_error(answer, status=400, code=3)


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/v1/nowhere"),
        ("GET", "/"),
        ("DELETE", "/v1/cards/card_1"),
        ("POST", "/v1/ledger"),
        # A gRPC path is not a JSON path.
        ("POST", "/holdfast.authz.v1.AuthorizationService/Authorize"),
    ],
)
async def test_an_unknown_path_is_a_json_404(world: World, verb: str, path: str) -> None:
    answer = await world.web.request(verb, path, headers=world.bearer())
    _assert_json_error(answer, status=404, code=5)


@pytest.mark.parametrize(
    "path",
    ["/v1/authorizations/a%2fb", "/v1/authorizations/a%5Cb", "/v1/..%2fv1/authorizations/a"],
)
async def test_escaped_slashes_are_refused(world: World, path: str) -> None:
    answer = await world.web.get(path, headers=world.bearer())
    _assert_json_error(answer, status=400, code=3)


async def test_headers_with_underscores_are_refused(world: World) -> None:
    """`x_auth_subject` may look like `x-auth-subject` to somebody."""
    answer = await world.web.get(
        "/v1/accounts", headers={**world.bearer(), "x_auth_subject": "usr_root"}
    )
    _assert_json_error(answer, status=400, code=3)


async def test_a_large_body_is_a_json_error(world: World) -> None:
    answer = await world.web.post(
        "/v1/authorizations", headers=world.bearer(), json={"card_id": "x" * 100_000}
    )
    _assert_json_error(answer, status=413, code=8)
    assert world.upstream.calls == []


async def test_large_headers_are_refused(world: World) -> None:
    answer = await world.web.get(
        "/v1/accounts", headers={**world.bearer(), "x-large": "x" * 20_000}
    )
    _assert_json_error(answer, status=431, code=8)


async def test_a_browser_may_ask_from_this_machine_only(world: World) -> None:
    def preflight(origin: str) -> dict[str, str]:
        return {
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,idempotency-key",
        }

    allowed = await world.web.options(
        "/v1/authorizations", headers=preflight("http://localhost:3000")
    )
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "idempotency-key" in allowed.headers["access-control-allow-headers"]
    for origin in ("https://evil.example", "http://localhost.evil.example"):
        refused = await world.web.options("/v1/authorizations", headers=preflight(origin))
        assert "access-control-allow-origin" not in refused.headers


async def test_grpc_web_is_understood(world: World) -> None:
    request = pb.GetAuthorizationRequest(authorization_id="auth_web").SerializeToString()
    frame = b"\x00" + len(request).to_bytes(4, "big") + request
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    path = "/holdfast.authz.v1.AuthorizationService/GetAuthorization"

    answer = await world.web.post(path, headers={**headers, **world.bearer()}, content=frame)
    assert b"grpc-status:0" in answer.content
    assert world.upstream.last.request.authorization_id == "auth_web"

    refused = await world.web.post(path, headers=headers, content=frame)
    assert refused.headers["content-type"].startswith("application/grpc-web")
    assert refused.headers.get("grpc-status") == "16" or b"grpc-status:16" in refused.content


async def test_https_gives_the_same(world: World) -> None:
    async with httpx.AsyncClient(verify=world.tls_context()) as client:
        answer = await client.get(
            f"https://localhost:{world.ports.edge_https}/v1/accounts/acct_1/balance",
            headers=world.bearer(),
        )
    assert answer.status_code == 200
    assert json.loads(answer.text)["seq"] == "0"

    async with world.tls_channel(world.ports.edge_https, None) as channel:
        balance = await pb_grpc.AuthorizationServiceStub(channel).GetBalance(
            pb.GetBalanceRequest(), metadata=list(world.bearer().items())
        )
    assert balance.seq == 0
