"""`holdfast stats usage`, and what a merchant sees of its own key: through the whole mesh."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient
from tests.e2e.cli.conftest import Holdfast

#: How long counting may lag on a busy machine.
PATIENCE_S = 60.0
CALLS = 5
METHOD = "/holdfast.authz.v1.AuthorizationService/GetAuthorization"


async def test_a_merchant_and_staff_see_what_a_key_did(
    mesh: MeshClient, full_mesh: Devstack, holdfast: Holdfast
) -> None:
    merchant = f"mer_{uuid.uuid4().hex}"
    made = await mesh.web.post(
        "/v1/api-keys",
        json={
            "request_id": uuid.uuid4().hex,
            "owner_id": merchant,
            "scopes": ["authorizations:read", "usage:read"],
        },
    )
    assert made.status_code == 200, made.text
    key, headers = made.json()["api_key"]["id"], {"x-api-key": made.json()["secret"]}
    unknown = f"/v1/authorizations/auth_0a{'1' * 32}"
    for _ in range(CALLS):
        assert (await mesh.web.get(unknown, headers=headers, auth=None)).status_code == 404
    today = datetime.now(UTC).date().isoformat()
    asked = {"start_date": today, "method": METHOD, "group_by": "API_USAGE_GROUPING_API_KEY"}

    async def own() -> Any:
        answer = await mesh.web.get("/v1/api-usage", params=asked, headers=headers, auth=None)
        assert answer.status_code == 200, answer.text
        return answer.json()

    until = time.monotonic() + PATIENCE_S
    while (found := await own())["total"]["calls"] != str(CALLS):
        assert time.monotonic() < until, found
        await asyncio.sleep(1)
    [group] = found["groups"]
    assert (group["api_key_id"], group["errors"]) == (key, str(CALLS))
    assert 0 < int(group["duration_p50_us"]) <= int(group["duration_max_us"])
    others = await mesh.web.get(
        "/v1/api-usage", params={**asked, "caller": "mer_other"}, headers=headers, auth=None
    )
    assert (others.status_code, others.json()["details"][0]["reason"]) == (404, "CALLER_NOT_FOUND")

    home = ("--home", str(full_mesh.settings.home))
    ended = await holdfast("stats", "usage", *home, "--key", key, "--by", "method", "--json")
    assert ended.code == 0, ended.stderr
    groups = {one["method"]: one for one in json.loads(ended.stdout)["groups"]}
    assert groups[METHOD]["calls"] == groups[METHOD]["errors"] == CALLS
    ended = await holdfast("stats", "usage", *home, "--key", key, "--by", "day")
    assert ended.code == 0, ended.stderr
    assert today in ended.stdout
    ended = await holdfast("stats", "usage", *home, "--key", "nonsense")
    assert ended.code == 2, ended
