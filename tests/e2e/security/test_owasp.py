"""OWASP API Security Top 10 (2023): one test for each item, through the edge of a whole mesh.

Each shows the item's core; what follows from it in detail is tested where it belongs.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from authz.external import Failure
from authz.external_client import ExternalDecisions
from gateway.limits import WINDOW_MS
from gateway.session_store import USER_ATTEMPTS
from holdfast.accounts.v1 import account_service_pb2, card_pb2, card_service_pb2
from holdfast.authz.v1 import external_decision_service_pb2 as external
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.access import ANYONE, NETWORK, SERVICE, TOKEN_ROLES, Policy, load_access
from runtime.cli.token import issue_token
from runtime.clock import SystemClock
from runtime.contract import contract, rpcs
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient, connect
from runtime.paging import PAGE_SIZE_MAX
from tests.external_service import APPROVES, Answering, failing, garbage, issuer, saying

PASSWORD = "correct-horse-battery-staple-73"
#: Of each answer to a call that was counted.
LIMIT_HEADER = "x-ratelimit-limit"
_NUMBERS = itertools.count(1)
#: Fields that name what is somebody's (`owner` in the contract): there is one of the victim's, or
#: an id that looks like one. Each service's test_foreign_ids.py has things that there are.
OF_THE_VICTIM = {"account_id", "subject_id", "card_id", "user_id"}
OF_NOBODY = {
    "authorization_id": ids.AUTHORIZATION,
    "company_id": ids.COMPANY,
    "owner_id": ids.COMPANY,
    "dispute_id": ids.DISPUTE,
    "payment_id": ids.PAYMENT,
    "funding_source_id": ids.FUNDING_SOURCE,
    "endpoint_id": ids.WEBHOOK_ENDPOINT,
    "stat_id": ids.STAT,
    "refund_id": ids.REFUND,
    "report_id": ids.REPORT,
    "report_schedule_id": ids.REPORT_SCHEDULE,
}


@pytest.fixture
async def admin(full_mesh: Devstack) -> AsyncIterator[MeshClient]:
    assert full_mesh.ports is not None
    async with connect(full_mesh.settings, full_mesh.ports) as client:
        yield client


@pytest.fixture
async def web(full_mesh: Devstack, admin: MeshClient) -> AsyncIterator[httpx.AsyncClient]:
    """HTTPS without any credential."""
    trust = admin.web._transport._pool._ssl_context  # type: ignore[attr-defined]
    async with httpx.AsyncClient(base_url=admin.edge_url, verify=trust, timeout=10) as client:
        yield client


def new_user() -> str:
    """Somebody that nobody has counted calls of."""
    return ids.IdSource(SystemClock()).new(ids.USER, next(_NUMBERS) % 64)


def bearer(mesh: Devstack, subject: str, *roles: str) -> dict[str, str]:
    return {"authorization": f"Bearer {issue_token(mesh.settings, subject=subject, roles=roles)}"}


async def signed_up(web: httpx.AsyncClient, **more: Any) -> tuple[str, httpx.Response]:
    """An address, and the answer to its registration."""
    email = f"{uuid.uuid4().hex}@example.com"
    body = {"request_id": uuid.uuid4().hex, "email": email, "password": PASSWORD, "name": "Ada"}
    return email, await web.post("/v1/users:register", json={**body, **more})


async def sign_in(web: httpx.AsyncClient, email: str, password: str) -> httpx.Response:
    body = {"request_id": uuid.uuid4().hex, "email": email, "password": password}
    return await web.post("/v1/sessions:login", json=body)


async def victims_things(admin: MeshClient, owner: str = "") -> dict[str, str]:
    """Account, card and more of somebody, by the field that names them."""
    owner = owner or new_user()
    limit = Money(currency_code="USD", amount_minor=100_00)
    opened = await admin.accounts.OpenAccount(
        account_service_pb2.OpenAccountRequest(
            request_id=uuid.uuid4().hex, owner_id=owner, credit_limit=limit
        )
    )
    issued = await admin.cards.IssueCard(
        card_service_pb2.IssueCardRequest(
            request_id=uuid.uuid4().hex,
            account_id=opened.account.id,
            kind=card_pb2.Card.KIND_VIRTUAL,
        )
    )
    partition = owner[4:6]
    return {
        "account_id": opened.account.id,
        "subject_id": opened.account.id,
        "card_id": issued.card.id,
        "user_id": owner,
        **{name: f"{prefix}_{partition}{uuid.uuid4().hex}" for name, prefix in OF_NOBODY.items()},
    }


def json_calls(policies: list[Policy], known: dict[str, str]) -> Iterator[tuple[Policy, str, str]]:
    """Each JSON call of these methods, with these ids in its path."""
    numbers = {
        field.name
        for file in contract().file
        for message in file.message_type
        for field in message.field
        if field.type in (FieldDescriptorProto.TYPE_INT32, FieldDescriptorProto.TYPE_INT64)
    }
    for policy in policies:
        for binding in policy.bindings:

            def value(field: re.Match[str]) -> str:
                return known.get(field[1], "1" if field[1] in numbers else f"x_0a{'5' * 32}")

            yield policy, binding.verb, re.sub(r"\{([^}]+)\}", value, binding.template)


async def send(
    web: httpx.AsyncClient, verb: str, path: str, headers: dict[str, str], body: dict[str, str]
) -> httpx.Response:
    if verb in ("GET", "DELETE"):
        return await web.request(verb, path, headers=headers)
    return await web.request(verb, path, headers=headers, json=body)


async def test_api1_broken_object_level_authorization(
    full_mesh: Devstack, web: httpx.AsyncClient, admin: MeshClient
) -> None:
    """Every method about something of somebody's: to a stranger that thing does not exist."""
    known = await victims_things(admin)
    owned = [one for one in load_access().policies.values() if one.owner]
    calls = list(json_calls(owned, known))
    assert len(calls) > 30
    for policy, verb, path in calls:
        # An id that stands in the path only: a list's filter is told in the query.
        wanted = [field for field in policy.owner if known.get(field, "-") in path]
        query = {} if wanted else {policy.owner[0]: known[policy.owner[0]]}
        role = "cardholder" if "cardholder" in policy.roles else "manager"
        headers = bearer(full_mesh, new_user(), role)
        if verb == "GET":
            answer = await web.get(path, headers=headers, params=query)
        else:
            body = {"request_id": uuid.uuid4().hex, **query}
            answer = await send(web, verb, path, headers, body)
        # What a body lacks may be told before; a thing of somebody else's never is.
        assert answer.status_code == 404, (policy.path, answer.text)
        assert answer.json()["details"][0]["reason"].endswith("NOT_FOUND")


async def test_api2_broken_authentication(web: httpx.AsyncClient) -> None:
    """Whoever guesses passwords soon has to wait; refresh tokens work once."""
    email, _ = await signed_up(web)
    tokens = (await sign_in(web, email, PASSWORD)).json()["tokens"]
    unknown = await sign_in(web, f"{uuid.uuid4().hex}@example.com", PASSWORD)
    guesses = [sign_in(web, email, f"not the password {n}") for n in range(3 * USER_ATTEMPTS)]
    answers = await asyncio.gather(*guesses)
    wrong = [one for one in answers if one.status_code == 401]
    waiting = [one for one in answers if one.status_code == 429]
    assert len(wrong) >= USER_ATTEMPTS
    assert waiting, "of a burst most have to wait"
    assert len(wrong) + len(waiting) == len(answers)
    assert wrong[0].json() == unknown.json(), "nobody learns who has an account"
    told = {one["@type"].rpartition(".")[2]: one for one in waiting[0].json()["details"]}
    assert told["ErrorInfo"]["reason"] == "TOO_MANY_ATTEMPTS"
    assert float(told["RetryInfo"]["retry_delay"].rstrip("s")) > 0
    assert int(waiting[0].headers["retry-after"]) > 0
    _, weak = await signed_up(web, password="12345678")
    assert weak.status_code == 400

    used = {"refresh_token": tokens["refresh_token"]}
    renewed = await web.post("/v1/sessions:refresh", json={"request_id": "r-1", **used})
    assert renewed.status_code == 200, renewed.text
    stolen = await web.post("/v1/sessions:refresh", json={"request_id": "r-2", **used})
    assert stolen.status_code == 401
    newest = {"request_id": "r-3", "refresh_token": renewed.json()["tokens"]["refresh_token"]}
    assert (await web.post("/v1/sessions:refresh", json=newest)).status_code == 401


async def test_api3_broken_object_property_level_authorization(
    full_mesh: Devstack, web: httpx.AsyncClient, admin: MeshClient
) -> None:
    """Nobody gives themselves a role or a limit by naming the field; numbers are never shown by
    the way.
    """
    user_id = new_user()
    asked = {"roles": ["admin"], "role": "admin", "user_id": user_id, "company_id": "co_1"}
    email, answer = await signed_up(web, **asked)
    assert answer.json()["user_id"] != user_id
    session = (await sign_in(web, email, PASSWORD)).json()["session"]
    assert (session["roles"], session.get("company_id", "")) == (["cardholder"], "")

    known = await victims_things(admin)
    card = (await admin.web.get(f"/v1/cards/{known['card_id']}")).json()["card"]
    assert {"pan", "cvv", "number"}.isdisjoint(card)
    owner = bearer(full_mesh, known["user_id"], "cardholder")
    path = f"/v1/accounts/{known['account_id']}:setControls"
    more = {"credit_limit": {"amount_minor": "9"}, "state": "STATE_CLOSED", "owner_id": new_user()}
    body = {"request_id": uuid.uuid4().hex, "controls": {}, **more}
    await web.post(path, headers=owner, json=body)
    account = (await web.get(f"/v1/accounts/{known['account_id']}", headers=owner)).json()[
        "account"
    ]
    assert account["credit_limit"]["amount_minor"] == "10000"
    assert (account["state"], account["owner_id"]) == ("STATE_OPEN", known["user_id"])


async def test_api4_unrestricted_resource_consumption(
    full_mesh: Devstack, web: httpx.AsyncClient
) -> None:
    """A user's calls are counted whatever they are, and no page is larger than the largest.

    A limiter that does not answer in time is down, and calls without a session pass uncounted then,
    on a machine that is too busy: they bear no count, and of all others 100 pass.
    """
    headers = bearer(full_mesh, new_user(), "auditor")
    path = f"/v1/accounts?page_size={2**31 - 1}"
    began_s = time.monotonic()
    asked = (web.get(path, headers=headers) for _ in range(101))
    answers = list(await asyncio.gather(*asked))
    uncounted = sum(LIMIT_HEADER not in one.headers for one in answers)
    answers += [await web.get(path, headers=headers) for _ in range(uncounted)]
    assert time.monotonic() - began_s < WINDOW_MS / 1000, "the first have left the window"
    counted = [one for one in answers if LIMIT_HEADER in one.headers]
    statuses = Counter(one.status_code for one in counted)
    assert statuses.keys() == {200, 429}
    assert statuses == {200: 100, 429: 1} if not uncounted else statuses[200] <= 100
    refused = [one for one in counted if one.status_code == 429]
    assert all(int(one.headers["retry-after"]) > 0 for one in refused)
    passed = [one for one in answers if one not in refused]
    assert all(len(one.json()["accounts"]) <= PAGE_SIZE_MAX for one in passed)


async def test_api5_broken_function_level_authorization(
    full_mesh: Devstack, web: httpx.AsyncClient
) -> None:
    """Every method, asked for by every role that it is not for; those of the mesh by none."""
    policies = [one for one in load_access().policies.values() if ANYONE not in one.roles]
    for role in TOKEN_ROLES:
        forbidden = [one for one in policies if role not in one.roles]
        answers = []
        for number, (policy, verb, path) in enumerate(json_calls(forbidden, {})):
            if number % 50 == 0:
                headers = bearer(full_mesh, new_user(), role)
            answer = await send(web, verb, path, headers, {})
            answers.append(answer.status_code)
            assert answer.status_code == 403, (role, policy.path, answer.text)
        assert len(answers) >= 1 or role == "admin"
    headers = bearer(full_mesh, new_user(), *TOKEN_ROLES)
    inner = [one for one in policies if one.roles <= {SERVICE, NETWORK}]
    assert len(inner) > 5
    port = full_mesh.ports["edge_http"]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for policy in inner:
            method = channel.unary_unary(policy.path, bytes, bytes)
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await method(b"", metadata=list(headers.items()), timeout=5)
            assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED, policy.path


async def test_api6_unrestricted_access_to_sensitive_business_flows(
    full_mesh: Devstack, web: httpx.AsyncClient, admin: MeshClient
) -> None:
    """Who has stolen the token of somebody without a second factor adds none of its own, and does
    not see the card's number; nobody mints numbers.
    """
    email, made = await signed_up(web)
    known = await victims_things(admin, made.json()["user_id"])
    session = (await sign_in(web, email, PASSWORD)).json()
    stolen = {"authorization": f"Bearer {session['tokens']['access_token']}"}

    async def refusal(path: str, **body: str) -> str:
        sent = {"request_id": uuid.uuid4().hex, **body}
        answer = await web.post(path, headers=stolen, json=sent)
        assert answer.status_code >= 400, answer.text
        reason: str = answer.json()["details"][0]["reason"]
        return reason

    assert await refusal("/v1/secondFactors:enroll") == "PASSWORD_REQUIRED"
    assert await refusal("/v1/secondFactors:enroll", password="guess") == "WRONG_CREDENTIALS"
    for verb in ("confirm", "verify", "remove"):
        assert await refusal(f"/v1/secondFactors:{verb}", code="000000") == "SECOND_FACTOR_STATE"
    back = {"flow_token": "hff_1", "state": "s", "authorization_code": "c"}
    assert await refusal("/v1/users:linkOidc", **back) == "PASSWORD_REQUIRED"
    path = f"/v1/cards/{known['card_id']}:reveal"
    answers = [
        await web.post(path, headers=stolen, json={"request_id": uuid.uuid4().hex})
        for _ in range(12)
    ]
    assert {one.status_code for one in answers} == {403, 429}, "a second factor, and a limit"
    assert answers[0].json()["details"][0]["reason"] == "SECOND_FACTOR_REQUIRED"
    # What signs up by machine is held up, too.
    _, answer = await signed_up(web)
    assert "x-ratelimit-limit" in answer.headers


async def test_api7_server_side_request_forgery(
    web: httpx.AsyncClient, full_mesh: Devstack
) -> None:
    """No field of any request says where to call but a webhook's, and Envoy is nobody's proxy.
    Where a browser goes after signing in is compared with the settings; no webhook goes to an
    address of ours: tests/unit/notify/test_addresses.py has them, tests/integration/notify calls.
    """
    places = re.compile(r"(^|_)(url|uri|href|callback|webhook|host|hostname|endpoint|target)(_|$)")
    messages = {
        f".{file.package}.{one.name}": one for file in contract().file for one in file.message_type
    }

    def fields(message: DescriptorProto, seen: set[str]) -> Iterator[str]:
        for field in message.field:
            yield field.name
            if field.type_name in messages and field.type_name not in seen:
                yield from fields(messages[field.type_name], seen | {field.type_name})

    requests = [messages[one.method.input_type] for one in rpcs()]
    assert len(requests) > 80
    found = {name for one in requests for name in fields(one, set()) if places.search(name)}
    # An endpoint's id, and the name of a type in protobuf's Any, are no places.
    assert found == {"redirect_uri", "url", "endpoint_id", "type_url"}
    named = {one.name for one in requests if any(field.name == "url" for field in one.field)}
    assert named == {"CreateWebhookEndpointRequest", "UpdateWebhookEndpointRequest"}
    for uri in ("http://169.254.169.254/", "http://127.0.0.1:1/", "file:///etc/passwd"):
        begun = {"request_id": uuid.uuid4().hex, "issuer": "example", "redirect_uri": uri}
        refused = await web.post("/v1/sessions:beginOidc", json=begun)
        assert refused.status_code in {400, 404}, refused.text

    token = issue_token(full_mesh.settings, subject=new_user(), roles=("admin",))
    for target in ("http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:1/v1/nothing"):
        head = f"GET {target} HTTP/1.1\r\nhost: evil.example\r\nauthorization: Bearer {token}"
        port = full_mesh.ports["edge_http"]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{head}\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(4096), 5)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 404"), answer


async def test_api8_security_misconfiguration(web: httpx.AsyncClient, full_mesh: Devstack) -> None:
    """Answers say nothing about what runs here, and browsers what they must not do with them."""
    headers = bearer(full_mesh, new_user(), "admin")
    answers = [
        await web.get("/v1/accounts", headers=headers),
        await web.get("/v1/accounts"),
        await web.get("/v1/nowhere", headers=headers),
        await web.post("/v1/accounts", headers=headers, content=b"{"),
        await web.get("/v1/cards/%00", headers=headers),
    ]
    for answer in answers:
        assert answer.headers["server"] == "holdfast"
        assert "x-powered-by" not in answer.headers
        assert not {one for one in answer.headers if one.startswith("x-envoy")}
        assert "Traceback" not in answer.text
        assert "/tmp/" not in answer.text
    for answer in answers[:4]:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["strict-transport-security"].startswith("max-age=")
    evil = {**headers, "origin": "https://evil.example"}
    for found in (
        await web.get("/v1/accounts", headers=evil),
        await web.options("/v1/accounts", headers={**evil, "access-control-request-method": "GET"}),
    ):
        assert "access-control-allow-origin" not in found.headers
    for verb in ("TRACE", "PUT", "PROPFIND"):
        assert (await web.request(verb, "/v1/accounts", headers=headers)).status_code >= 400


async def test_api9_improper_inventory_management(
    web: httpx.AsyncClient, full_mesh: Devstack
) -> None:
    """What is not in the contract is not there: no old version, no page for developers."""
    templates = [binding.template for rpc in rpcs() for binding in rpc.bindings]
    assert all(one.startswith(("/v1/", "/.well-known/")) for one in templates)
    assert {rpc.path for rpc in rpcs() if rpc.bindings} <= set(load_access().policies)
    headers = bearer(full_mesh, new_user(), *TOKEN_ROLES)
    hidden = ("/v2/accounts", "/v1beta1/accounts", "/v0/accounts", "/accounts", "/api/v1/accounts")
    tools = (
        "/admin",
        "/debug",
        "/metrics",
        "/ready",
        "/stats",
        "/config_dump",
        "/.env",
        "/.git/HEAD",
    )
    for path in (*hidden, *tools, "/graphql", "/actuator/health"):
        assert (await web.get(path, headers=headers)).status_code == 404, path
    port = full_mesh.ports["edge_http"]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for path in (
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            "/grpc.health.v1.Health/Check",
            "/envoy.service.auth.v3.Authorization/Check",
        ):
            method = channel.unary_unary(path, bytes, bytes)
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await method(b"", metadata=list(headers.items()), timeout=5)
            assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED, path


async def _huge(question: external.DecideRequest) -> bytes:
    del question
    return external.DecideResponse(reason="x" * 8_000_000).SerializeToString()


async def test_api10_unsafe_consumption_of_apis() -> None:
    """Two kinds of services are somebody else's: issuers (tests/integration/gateway/
    test_hostile_issuer.py), and the one that has an opinion about purchases: whatever it answers,
    we decide. An answer that is none, too large, late, or unknown to us counts as the default.
    """
    odd: tuple[Answering, ...] = (
        garbage,
        failing,
        _huge,
        saying(77),
        saying(0),
        saying(1, "\x00\x1b[31m" * 100, after_s=5),
    )
    async with issuer() as service:
        channel = grpc.aio.insecure_channel(service.target)
        decisions = ExternalDecisions(channel, timeout_s=0.25, approve=False)
        question = external.DecideRequest(card_id="card_1")
        service.answer = APPROVES
        opinion = await decisions.decide(question, timeout_s=5)
        assert not opinion.reason
        for answer in odd:
            service.answer = answer
            opinion = await decisions.decide(question, timeout_s=0.25)
            assert opinion.reason, answer
        await decisions.close()
    assert len(Failure) >= 3
