"""`holdfast user create`: whoever it registers signs in, with the roles that were given."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from typing import Any

import httpx
import pytest

from runtime.devstack.supervisor import Devstack

PASSWORD = "correct horse battery"


async def _created(mesh: Devstack, *arguments: str) -> tuple[int, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from runtime.cli.main import main; main()", "user", "create"),
        *(*arguments, "--name", "Ada", "--password-stdin", "--json"),
        *("--home", str(mesh.settings.home)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if "HOLDFAST" not in name},
    )
    stdout, _ = await process.communicate(f"{PASSWORD}\n".encode())
    assert process.returncode is not None
    return process.returncode, json.loads(stdout)


async def test_a_merchants_first_user_makes_its_keys(full_mesh: Devstack) -> None:
    mark = uuid.uuid4().hex[:8]
    email, merchant = f"{mark}@example.com", f"mer_{mark}"
    arguments = ("--email", email, "--role", "merchant", "--merchant", merchant)
    code, told = await _created(full_mesh, *arguments)
    assert (code, told["roles"]) == (0, ["merchant"])
    assert (await _created(full_mesh, *arguments))[0] == 1, "the address is taken"
    url = f"http://127.0.0.1:{full_mesh.ports['edge_http']}"
    async with httpx.AsyncClient(base_url=url) as web:
        login = {"request_id": mark, "email": email, "password": PASSWORD}
        answer = (await web.post("/v1/sessions:login", json=login)).json()
        assert answer["session"]["user_id"] == told["user_id"]
        key = {"request_id": mark, "owner_id": merchant, "scopes": ["authorizations:read"]}
        bearer = {"authorization": f"Bearer {answer['tokens']['access_token']}"}
        created = await web.post("/v1/api-keys", json=key, headers=bearer)
        assert created.json()["api_key"]["owner_id"] == merchant


@pytest.mark.parametrize(
    "options",
    [
        ("--role", "merchant"),
        ("--role", "merchant", "--merchant", "usr_1"),
        ("--role", "manager"),
        ("--role", "root"),
    ],
)
async def test_what_is_wrong_registers_nobody(
    full_mesh: Devstack, options: tuple[str, ...]
) -> None:
    code, told = await _created(full_mesh, "--email", "nobody@example.com", *options)
    assert (code, "error" in told) == (2, True)
