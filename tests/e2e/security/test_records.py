"""What a call leaves behind: usage, audit entries, one id everywhere, and no secret anywhere."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient, connect
from runtime.metrics import AUDIT_UNWRITTEN
from tests.e2e.edge.world import until

PASSWORD = "correct-horse-battery-staple-41"
EMAIL = "grace.hopper.41@example.com"
NAME = "Gracella"
UNKNOWN_CARD = "card_0a" + "4" * 32


@pytest.fixture
async def client(full_mesh: Devstack) -> AsyncIterator[MeshClient]:
    assert full_mesh.ports is not None
    async with connect(full_mesh.settings, full_mesh.ports) as client:
        yield client


def holdfast(mesh: Devstack, *arguments: str) -> tuple[int, dict[str, Any]]:
    """A command's exit code and document."""
    home = str(mesh.settings.home)
    command = str(Path(sys.executable).with_name("holdfast"))
    program = [command, *arguments, "--json", "--home", home]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
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


async def test_verify_passes_and_names_a_row_that_was_changed(
    client: MeshClient, full_mesh: Devstack
) -> None:
    """As the demo shows it: intact, then a tampered row, then put back."""
    await client.web.post(f"/v1/cards/{UNKNOWN_CARD}:freeze", json={"request_id": "tamper-1"})

    async def sealed() -> bool:
        _, found = await asyncio.to_thread(holdfast, full_mesh, "audit", "verify")
        [chain] = [one for one in found["chains"] if one["service"] == "accounts"]
        return bool(found["intact"] and chain["links"] and not chain["waiting"])

    await until(sealed)
    owner = await asyncpg.connect(full_mesh.owner_dsn)
    row = await owner.fetchrow(
        "SELECT id, actor FROM audit.entry WHERE service = 'accounts' ORDER BY id DESC LIMIT 1"
    )
    change = "UPDATE audit.entry SET actor = $2 WHERE id = $1"
    await owner.execute(change, row["id"], "usr_nobody")
    try:
        code, found = await asyncio.to_thread(holdfast, full_mesh, "audit", "verify")
    finally:
        await owner.execute(change, row["id"], row["actor"])
        await owner.close()
    assert code == 1
    [fault] = [one["fault"] for one in found["chains"] if one["fault"]]
    assert fault["entry_id"] == row["id"]


async def test_no_secret_is_left_in_logs_and_stores(
    client: MeshClient, full_mesh: Devstack
) -> None:
    """Signs somebody in, then looks for what they sent and were given wherever bytes are kept."""
    given = {"email": EMAIL, "password": PASSWORD, "name": NAME}
    await client.web.post("/v1/users:register", json={"request_id": uuid.uuid4().hex, **given})
    signed_in = await client.web.post(
        "/v1/sessions:login",
        json={"request_id": uuid.uuid4().hex, "email": EMAIL, "password": PASSWORD},
    )
    assert signed_in.status_code == 200, signed_in.text
    tokens = signed_in.json()["tokens"]
    secrets = [PASSWORD, tokens["access_token"], tokens["refresh_token"]]
    folder = full_mesh.settings.home / "secrets"
    secrets += [one.read_text().strip() for one in folder.iterdir() if one.is_file()]
    needles = [one.encode() for one in secrets if len(one) >= 16]
    personal = [EMAIL.encode(), NAME.encode()]
    await asyncio.sleep(2)  # the usage log and the sealer have written

    logs = b"".join(one.read_bytes() for one in (full_mesh.settings.home / "logs").iterdir())
    assert len(logs) > 2_000, "there is something to look through"
    config = (full_mesh.settings.home / "envoy" / "envoy.yaml").read_bytes()
    stores = await dump(full_mesh) + aof(full_mesh)
    for place, text in (("logs", logs), ("envoy.yaml", config), ("stores", stores)):
        for needle in needles:
            assert needle not in text, f"{place} hold {needle[:4]!r}…"
    for needle in personal:
        assert needle not in logs
    assert not re.search(rb"\b4[0-9]{15}\b", logs), "no card number"
    assert AUDIT_UNWRITTEN._value.get() == 0


async def dump(mesh: Devstack) -> bytes:
    """Every row of every table, as text."""
    owner = await asyncpg.connect(mesh.owner_dsn)
    tables = await owner.fetch(
        "SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables"
        " WHERE table_type = 'BASE TABLE'"
        " AND table_schema NOT IN ('pg_catalog', 'information_schema')"
    )
    found = [await owner.fetch(f"SELECT t::text AS row FROM {one['name']} AS t") for one in tables]
    await owner.close()
    assert len(found) > 20
    return "\n".join(row["row"] for rows in found for row in rows).encode()


def aof(mesh: Devstack) -> bytes:
    """The money Valkey's append-only files."""
    files = [one for one in Path(mesh.settings.home).rglob("*.aof") if one.is_file()]
    link = mesh.settings.home / "servers"
    files += list(link.resolve().rglob("*.aof")) if link.is_symlink() else []
    assert files, "the money Valkey writes one"
    return b"".join(one.read_bytes() for one in files)
