"""A scheduled report: through the edge, from the wish to a mail, and where its link leads."""

from __future__ import annotations

import re
import ssl
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from runtime import pki
from runtime.cli.token import issue_token
from runtime.devstack.supervisor import Devstack
from tests.mailbox import mail, text_of

PASSWORD = "correct horse battery"


@pytest.fixture
async def web(full_mesh: Devstack) -> AsyncIterator[httpx.AsyncClient]:
    url = f"https://localhost:{full_mesh.ports['edge_https']}"
    trust = ssl.create_default_context(cafile=str(pki.ca_path(full_mesh.settings)))
    async with httpx.AsyncClient(base_url=url, verify=trust, timeout=10) as client:
        yield client


async def post(web: httpx.AsyncClient, path: str, bearer: str = "", **body: Any) -> Any:
    headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
    answer = await web.post(path, json={"request_id": uuid.uuid4().hex, **body}, headers=headers)
    assert answer.status_code == 200, (path, answer.text)
    return answer.json()


async def person(web: httpx.AsyncClient) -> tuple[str, str, str]:
    """Registers somebody; returns the user, the address and a token."""
    email = f"{uuid.uuid4().hex}@example.com"
    made = await post(web, "/v1/users:register", email=email, password=PASSWORD, name="Ada")
    signed_in = await post(web, "/v1/sessions:login", email=email, password=PASSWORD)
    return made["user_id"], email, signed_in["tokens"]["access_token"]


async def is_due(mesh: Devstack, schedule_id: str) -> None:
    """As if yesterday were over everywhere."""
    connection = await asyncpg.connect(mesh.owner_dsn)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    moved = "UPDATE stats.report_schedule SET next_date = $2, due_time = now() WHERE id = $1"
    await connection.execute(moved, schedule_id, yesterday)
    await connection.close()


async def test_the_link_of_a_mail_leads_to_the_file(
    full_mesh: Devstack, web: httpx.AsyncClient
) -> None:
    """Who has signed in gets it; somebody else is told that there is no such report."""
    user_id, email, token = await person(web)
    staff = issue_token(full_mesh.settings, subject="usr_" + "0" * 34, roles=("admin",))
    limit = {"currency_code": "USD", "amount_minor": "100000"}
    opened = await post(web, "/v1/accounts", staff, owner_id=user_id, credit_limit=limit)
    asked = {"subject_id": opened["account"]["id"], "type": "REPORT_TYPE_SPENDING"}
    path = "/v1/report-schedules"
    made = await post(web, path, token, **asked, interval="PERIOD_TYPE_DAY")
    await is_due(full_mesh, made["report_schedule"]["id"])

    told = await mail(full_mesh.settings.home, email, lambda one: "is ready" in one["Subject"])
    link = urlsplit(next(line for line in text_of(told).splitlines() if line.startswith("https:")))
    report_id = link.fragment
    page = await web.get(link.path)
    assert page.status_code == 200
    pattern = re.search(r'name="report" required pattern="([^"]+)"', page.text)
    assert pattern is not None
    assert re.fullmatch(pattern[1], report_id)

    # What the page does.
    mine = {"authorization": f"Bearer {token}"}
    answer = await web.get(f"/v1/reports/{report_id}", headers=mine)
    assert answer.status_code == 200, answer.text
    report = answer.json()["report"]
    assert report["report_schedule_id"] == made["report_schedule"]["id"]
    path = f"/v1/reports/{report_id}:download"
    file = (await web.get(path, params={"part": 1}, headers=mine)).content
    assert (report["part_count"], report["sha256"]) == (1, sha256(file).hexdigest())
    await post(web, "/v1/sessions:logout", token)

    *_, stranger = await person(web)
    for bearer, status in (("", 401), (stranger, 404)):
        headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
        assert (await web.get(path, headers=headers)).status_code == status
