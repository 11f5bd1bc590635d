"""What a call leaves behind: usage, audit entries, one id everywhere.

That nothing secret is left behind is in test_sweep.py.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest

from holdfast.authz.v1.authorization_pb2 import Merchant
from holdfast.authz.v1.authorization_service_pb2 import AuthorizeRequest
from holdfast.type.v1.money_pb2 import Money
from runtime import pki
from runtime.channel import unix_channel
from runtime.cli.token import issue_token
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient, connect
from tests.databases import connected
from tests.e2e.edge.world import until
from tests.policies import ask

UNKNOWN_CARD = "card_0a" + "4" * 32


@pytest.fixture
async def client(full_mesh: Devstack) -> AsyncIterator[MeshClient]:
    assert full_mesh.ports is not None
    async with connect(full_mesh.settings, full_mesh.ports) as client:
        yield client


def holdfast(mesh: Devstack, *arguments: str, said: str = "") -> tuple[int, dict[str, Any]]:
    """A command's exit code and document."""
    home = str(mesh.settings.home)
    command = str(Path(sys.executable).with_name("holdfast"))
    program = [command, *arguments, "--json", "--home", home]
    done = subprocess.run(
        program, input=said, capture_output=True, text=True, check=False, timeout=60
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document


async def test_a_call_is_in_the_usage_log(client: MeshClient) -> None:
    """JSON, by its method and without its ids and query; refusals, too, and whose call it was."""
    trace = f"usage-{uuid.uuid4().hex}"
    headers = {"x-request-id": trace}
    await client.web.get(f"/v1/cards/{UNKNOWN_CARD}?unknown=4111111111111111", headers=headers)
    await client.web.get(f"/v1/cards/{UNKNOWN_CARD}", headers=headers)
    bad = {**headers, "authorization": "Bearer nonsense"}
    await client.web.get(f"/v1/cards/{UNKNOWN_CARD}", headers=bad, auth=None)
    found: list[dict[str, Any]] = []

    async def arrived() -> bool:
        answer = await client.web.get("/v1/usage", params={"trace_id": trace})
        found[:] = answer.json()["records"]
        return len(found) == 3

    await until(arrived)
    method = "/holdfast.accounts.v1.CardService/GetCard"
    assert [one["method"] for one in found] == [method] * 3
    assert [one["http_status"] for one in found] == [401, 404, 400]
    assert [bool(one["caller"]) for one in found] == [False, True, True]
    assert int(found[1]["duration_us"]) >= int(found[1]["service_us"]) > 0
    assert UNKNOWN_CARD not in json.dumps(found)
    assert "4111" not in json.dumps(found)
    sums = await client.web.get("/v1/usage:sum", params=window(found[-1]["start_time"]))
    assert method in {one["method"] for one in sums.json()["methods"]}
    far = {**window(found[-1]["start_time"]), "start_time": "2026-01-01T00:00:00Z"}
    assert (await client.web.get("/v1/usage:sum", params=far)).status_code == 400


def window(begin: str) -> dict[str, str]:
    """A minute from then on."""
    start = datetime.fromisoformat(begin).replace(microsecond=0)
    end = start + timedelta(minutes=1)
    return {"start_time": f"{start:%FT%TZ}", "end_time": f"{end:%FT%TZ}"}


async def test_one_id_leads_from_the_client_through_all_records(
    client: MeshClient, full_mesh: Devstack
) -> None:
    """The refusal of an administrative call: found in the audit log by the client's own id."""
    trace = f"trace-{uuid.uuid4().hex}"
    answer = await client.web.post(
        f"/v1/cards/{UNKNOWN_CARD}:freeze",
        json={"request_id": uuid.uuid4().hex},
        headers={"x-request-id": trace},
    )
    assert (answer.status_code, answer.headers["x-request-id"]) == (404, trace)
    code, listed = await asyncio.to_thread(holdfast, full_mesh, "audit", "list", "--trace", trace)
    assert code == 0
    [entry] = listed["entries"]
    assert (entry["code"], entry["targets"]) == ("NOT_FOUND", [UNKNOWN_CARD])
    # Envoy states its own address for callers on its own machine.
    assert ip_address(entry["peer"])


async def test_whom_envoy_refuses_is_in_the_audit_log_once(
    client: MeshClient, full_mesh: Devstack
) -> None:
    """By role, by a token that is none, by a credential that gateway refuses, by a body that is no
    message: each with its own trace id. A refused read has no entry, nor has a preflight.
    """
    user, name = f"usr_0a{uuid.uuid4().hex}", f"refused-{uuid.uuid4().hex}"
    token = issue_token(full_mesh.settings, subject=user, roles=("cardholder",))
    path, told = f"/v1/users/{user}:setAccess", {"roles": ["admin"]}
    told_of = {"role", "token", "key", "body"}

    async def ask(word: str, verb: str = "POST", body: Any = None, **headers: str) -> int:
        sent = {"x-request-id": f"{name}-{word}", "idempotency-key": f"key-{word}", **headers}
        content = None if verb == "GET" else body or json.dumps(told)
        answer = await client.web.request(verb, path, content=content, headers=sent, auth=None)
        return answer.status_code

    mine = {"authorization": f"Bearer {token}"}
    assert await ask("role", **mine) == 403
    assert await ask("token", authorization="Bearer nonsense") == 401
    assert await ask("key", **{"x-api-key": "hf_nonsense"}) == 401
    # Whichever Envoy knows first: that the body is none, or from gateway that it may go on.
    body = await ask("body", body="{", **mine)
    assert body in (400, 403)
    assert await ask("read", "GET", **mine) == 404
    asking = {"origin": "http://localhost", "access-control-request-method": "POST"}
    assert await ask("preflight", "OPTIONS", **asking) == 200
    assert await ask("options", "OPTIONS") == 401
    log = await asyncpg.connect(full_mesh.owner_dsn)
    found: dict[str, Any] = {}

    async def arrived() -> bool:
        rows = await log.fetch("SELECT * FROM audit.entry WHERE starts_with(trace_id, $1)", name)
        assert len({row["trace_id"] for row in rows}) == len(rows), "each once"
        found.update({row["trace_id"].rpartition("-")[2]: row for row in rows})
        return len(found) >= len(told_of)

    try:
        await until(arrived)
        # Whatever else was told has come by then, too: each second.
        await asyncio.sleep(2)
        await arrived()
    finally:
        await log.close()
    assert found.keys() == told_of
    method = "/holdfast.gateway.v1.SessionService/SetUserAccess"
    assert {(one["service"], one["method"]) for one in found.values()} == {("gateway", method)}
    assert {word: (one["code"], one["reason"]) for word, one in found.items()} == {
        "role": ("PERMISSION_DENIED", "ROLE_REFUSED"),
        "token": ("UNAUTHENTICATED", "TOKEN_REFUSED"),
        "key": ("UNAUTHENTICATED", "CREDENTIAL_REFUSED"),
        "body": (
            "INVALID_ARGUMENT" if body == 400 else "PERMISSION_DENIED",
            found["body"]["reason"],
        ),
    }
    assert [found[word]["actor"] for word in ("role", "token", "key")] == [user, "", ""]
    assert found["role"]["roles"] == ["cardholder"]
    for word, one in found.items():
        assert ip_address(one["peer"])
        assert (one["targets"], one["request_id"]) == ([user], f"key-{word}")
    usage = await client.web.get("/v1/usage", params={"trace_id": f"{name}-role"})
    [record] = usage.json()["records"]
    assert (record["caller"], record["method"]) == (user, method)


async def test_what_networks_and_services_are_refused_is_in_the_audit_log(
    full_mesh: Devstack,
) -> None:
    """A card network where only staff may call; a service at a method that is another's. What a
    network is refused of its own methods is not there: nobody waits for it.
    """
    name = f"refused-{uuid.uuid4().hex}"
    settings, path = full_mesh.settings, "/holdfast.accounts.v1.CardService/FreezeCard"
    identity = pki.load_credentials(settings, "network-demo")
    trust = grpc.ssl_channel_credentials(
        pki.ca_path(settings).read_bytes(), identity.private_key, identity.certificate
    )
    own = "/holdfast.authz.v1.AuthorizationService/Authorize"
    async with (
        grpc.aio.secure_channel(f"localhost:{full_mesh.ports['network']}", trust) as network,
        unix_channel(settings.egress_socket("notify")) as service,
    ):
        for channel, method, word in (
            (network, path, "n"),
            (network, own, "o"),
            (service, path, "s"),
        ):
            code = await ask(channel, method, [("x-request-id", f"{name}-{word}")])
            assert code is not grpc.StatusCode.OK, word
    log = await asyncpg.connect(full_mesh.owner_dsn)
    found: dict[str, Any] = {}

    async def arrived() -> bool:
        rows = await log.fetch(
            "SELECT * FROM audit.entry WHERE starts_with(trace_id, $1) AND service = 'gateway'",
            name,
        )
        found.update({row["actor"].partition("/")[2]: row for row in rows})
        return len(found) >= 2

    try:
        await until(arrived)
    finally:
        await log.close()
    whose = f"/{settings.trust_domain}"
    assert found.keys() == {f"{whose}/network/demo", f"{whose}/service/notify"}
    for row in found.values():
        assert (row["method"], row["code"]) == (path, "PERMISSION_DENIED")
        assert row["reason"] == "ROLE_REFUSED"


async def test_an_administrator_who_is_made_at_the_machine_is_recorded(full_mesh: Devstack) -> None:
    """`holdfast user create` is no RPC; its change has an entry all the same."""
    email = f"{uuid.uuid4().hex}@example.com"
    asked = ("--email", email, "--name", "Ada Lovelace", "--role", "admin", "--password-stdin")
    code, made = await asyncio.to_thread(
        holdfast, full_mesh, "user", "create", *asked, said="correct-horse-battery-73\n"
    )
    assert code == 0
    _, listed = await asyncio.to_thread(
        holdfast, full_mesh, "audit", "list", "--service", "gateway", "--target", made["user_id"]
    )
    [entry] = listed["entries"]
    assert (entry["actor"], entry["method"]) == ("operator", "holdfast user create")
    assert entry["after"] == {"user_id": made["user_id"], "roles": ["admin"]}
    assert not {email, "Ada Lovelace"} & set(json.dumps(listed).split('"'))


async def test_one_id_leads_from_the_client_to_the_settler(
    client: MeshClient, full_mesh: Devstack
) -> None:
    """Four calls, each with an id of its own: it is in the log of every process that had a part in
    the call, and in Envoy's, which is the usage log.
    """
    ids = {name: f"{name}-{uuid.uuid4().hex}" for name in ("open", "issue", "buy", "network")}

    async def post(name: str, path: str, **body: Any) -> Any:
        sent = {"request_id": uuid.uuid4().hex, **body}
        headers = {"x-request-id": ids[name]}
        answer = await client.web.post(path, json=sent, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    amount = {"currency_code": "USD", "amount_minor": "5000"}
    owner = f"usr_0a{uuid.uuid4().hex}"
    opened = await post("open", "/v1/accounts", owner_id=owner, credit_limit=amount)
    asked = {"account_id": opened["account"]["id"], "kind": "KIND_VIRTUAL"}
    card_id = (await post("issue", "/v1/cards", **asked))["card"]["id"]
    shop = {"descriptor": "Corner Coffee", "category_code": "5814", "country_code": "US"}
    spent = {"currency_code": "USD", "amount_minor": "100"}
    await post("buy", "/v1/authorizations", card_id=card_id, amount=spent, merchant=shop)
    await client.network.Authorize(
        AuthorizeRequest(
            request_id=uuid.uuid4().hex,
            card_id=card_id,
            amount=Money(currency_code="USD", amount_minor=100),
            merchant=Merchant(**shop),
        ),
        metadata=[("x-request-id", ids["network"])],
        timeout=5,
    )
    through = {"open": "accounts", "issue": "accounts", "buy": "authz", "network": "authz"}
    expected = {name: {first, "authz", "settler"} for name, first in through.items()}
    found: dict[str, set[str]] = {}

    async def everywhere() -> bool:
        logs = {one: one.read_text() for one in (full_mesh.settings.home / "logs").glob("*.log")}
        for name, trace in ids.items():
            told = {one.stem.partition("-")[0] for one, text in logs.items() if trace in text}
            found[name] = told
        return found == expected

    with suppress(TimeoutError):
        await until(everywhere, timeout_s=10)
    assert found == expected
    for name in ("open", "issue", "buy"):
        assert await in_usage_log(client, ids[name])


async def in_usage_log(client: MeshClient, trace: str) -> bool:
    """True once Envoy has told of the call."""

    async def arrived() -> bool:
        answer = await client.web.get("/v1/usage", params={"trace_id": trace})
        return bool(answer.json()["records"])

    await until(arrived)
    return True


async def test_a_refused_key_is_in_the_log_of_gateway(
    client: MeshClient, full_mesh: Devstack
) -> None:
    """Envoy asks gateway on its own; the id of the call that it asks about comes with it."""
    trace = f"key-{uuid.uuid4().hex}"
    headers = {"x-request-id": trace, "x-api-key": "hf_nonsense"}
    answer = await client.web.get("/v1/authorizations", headers=headers, auth=None)
    assert answer.status_code == 401
    log = full_mesh.settings.home / "logs" / "gateway.log"

    async def told() -> bool:
        lines = [json.loads(one) for one in log.read_text().splitlines() if trace in one]
        return [one["event"] for one in lines] == ["call_refused"]

    await until(told)


async def test_verify_passes_and_names_a_row_that_was_changed(
    client: MeshClient, full_mesh: Devstack
) -> None:
    """As the demo shows it: intact, then a tampered row, then put back."""
    await client.web.post(f"/v1/cards/{UNKNOWN_CARD}:freeze", json={"request_id": "tamper-1"})

    async def sealed() -> bool:
        _, found = await asyncio.to_thread(holdfast, full_mesh, "audit", "verify")
        [chain] = [one for one in found["chains"] if one["service"] == "accounts"]
        told = chain["logged"]
        return bool(found["intact"] and chain["links"] and told and not chain["waiting"])

    await until(sealed)
    async with connected(full_mesh.owner_dsn) as owner:
        row = await owner.fetchrow(
            "SELECT id, actor FROM audit.entry WHERE service = 'accounts' ORDER BY id DESC LIMIT 1"
        )
        change = "UPDATE audit.entry SET actor = $2 WHERE id = $1"
        await owner.execute(change, row["id"], "usr_nobody")
        try:
            code, found = await asyncio.to_thread(holdfast, full_mesh, "audit", "verify")
        finally:
            await owner.execute(change, row["id"], row["actor"])
    assert code == 1
    [fault] = [one["fault"] for one in found["chains"] if one["fault"]]
    assert fault["entry_id"] == row["id"]


async def test_what_is_archived_is_verified_with_the_rest(
    client: MeshClient, full_mesh: Devstack, tmp_path: Path
) -> None:
    """Out of a running mesh: what authz has refused, sealed by the settler, among it. The last link
    of a chain stays, so each service refuses something until its chain has two.
    """
    authorization = f"auth_{UNKNOWN_CARD.removeprefix('card_')}"
    paths = {
        "accounts": f"/v1/cards/{UNKNOWN_CARD}:freeze",
        "authz": f"/v1/authorizations/{authorization}:expire",
        "gateway": "/v1/sessions:logout",
    }

    async def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        return await asyncio.to_thread(holdfast, full_mesh, "audit", *arguments)

    async def sealed() -> bool:
        chains = (await run("verify"))[1]["chains"]
        links = {one["service"]: one["links"] for one in chains}
        short = [service for service in paths if links.get(service, 0) < 2]
        for service in short:
            refused = await client.web.post(paths[service], json={"request_id": uuid.uuid4().hex})
            assert refused.status_code in (400, 404, 409), refused.text
        return not short and not any(one["waiting"] for one in chains)

    await until(sealed)
    path = tmp_path / "audit.jsonl"
    assert (await run("archive", str(path), "--before", "2000-01-01"))[1]["archived"] == []
    assert not path.exists()
    code, moved = await run("archive", str(path), "--before", "2100-01-01")
    assert code == 0, moved
    assert {"accounts", "authz", "gateway"} <= {one["service"] for one in moved["archived"]}
    assert path.stat().st_mode & 0o777 == 0o600
    assert (await run("archive", str(path), "--before", "2100-01-01"))[0] == 2
    code, found = await run("verify", "--archive", str(path))
    assert (code, found["intact"]) == (0, True)
    assert found["archived"] == moved["archived"]
    path.write_text(path.read_text().replace("UNAUTHENTICATED", "OK").replace("NOT_FOUND", "OK"))
    code, found = await run("verify", "--archive", str(path))
    assert (code, found["intact"]) == (1, False)
    assert any("was changed" in one["fault"] for one in found["archived"])
