"""kill -9 of stats while it makes reports, asked for once or scheduled: each is made once, stored
whole and, if it was scheduled, mailed once.

Method: a mesh with two stats processes, and a company with a quarter of purchases, of which reports
of every month and of the whole quarter are wanted. Both processes are killed at each place where
something is begun and not done: a schedule that has not moved on, rows half written, parts half
stored, a report that was not yet told of; then a sender of mails, too. What a manager of the
company then downloads is held against the purchases.
"""

from __future__ import annotations

import asyncio
import csv
import io
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from runtime import pki
from runtime.cli.token import issue_token
from runtime.devstack.services import ServiceSpec
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack, Plan
from runtime.devstack.temporary import temporary_mesh
from tests.databases import held
from tests.mailbox import mails

INSTANCES = ("stats", "stats-second")
ROWS, CARDS, MERCHANTS = 90_000, 200, 500
MONTHS = 3
GROUPS = ("DAY", "CARD", "MERCHANT", "CATEGORY")
#: How long anything may take once nobody is killed any more; what is left is looked at each minute.
PATIENCE_S = 120.0
LOOK_S = 0.002
PASSWORD = "correct horse battery"

_KEYS = ("day", "card_id", "merchant", "category")
#: Whoever waits in front of a table that is held is in the middle of its transaction.
_WAITING = (
    "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
    " WHERE NOT l.granted AND c.relname = $1"
)
_FILL = """
INSERT INTO stats.live_cell (
    digest, day, account_id, card_id, user_id, company_id, department_id, programme_id, currency,
    merchant, category, country, channel, merchant_currency, decline_reason, authorized_count,
    authorized_minor, declined_count, purchase_count, purchase_minor, refund_count, refund_minor
)
SELECT decode(md5(n::text), 'hex'), $1::date + (n % 89)::int, 'acct_0a' || md5('a' || n % 20),
    'card_0a' || md5('c' || n % $3), '', $2, '', 'prog_standard', 'USD', 'm-' || n / 7 % $4,
    (5000 + n % 300)::text, 'USA', 'CHIP', 'USD', '', 1, n, 0, 1, n, 0, 0
FROM generate_series(1, $5::bigint) AS n
"""
_EXPECTED = (
    "SELECT day::text, card_id, merchant, category, sum(purchase_minor)::bigint AS minor"
    " FROM stats.live_cell WHERE company_id = $1 AND day BETWEEN $2 AND $3 GROUP BY 1, 2, 3, 4"
)
#: As if who died had done so half a minute ago.
_LEASES_ARE_OVER = "UPDATE stats.report SET due_time = now() WHERE state = 'RUNNING'"


@dataclass(kw_only=True)
class World:
    """The mesh, and a company with a manager who has signed in."""

    stack: Devstack
    owner: Any
    web: httpx.AsyncClient
    company_id: str
    email: str

    @property
    def home(self) -> Path:
        return self.stack.settings.home

    async def post(self, path: str, **body: Any) -> Any:
        sent = {"request_id": uuid.uuid4().hex, **body}
        return (await self._answered("POST", path, json=sent)).json()

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self._answered("GET", path, params=query)

    async def _answered(self, verb: str, path: str, **more: Any) -> httpx.Response:
        """Repeats a request until somebody is there to answer it."""

        async def ask() -> httpx.Response | None:
            answer = await self.web.request(verb, path, **more)
            if answer.status_code in (503, 504):
                await asyncio.sleep(0.2)
                return None
            assert answer.status_code == 200, (path, answer.text)
            return answer

        found: httpx.Response = await until(ask, f"nobody answers {path}")
        return found

    async def reports(self) -> list[dict[str, Any]]:
        answer = await self.get("/v1/reports", subject_id=self.company_id)
        found: list[dict[str, Any]] = answer.json()["reports"]
        return found

    async def download(self, report: dict[str, Any]) -> bytes:
        path = f"/v1/reports/{report['id']}:download"
        numbers = range(1, report["part_count"] + 1)
        return b"".join([(await self.get(path, part=one)).content for one in numbers])

    async def kill(self) -> None:
        """Both at once."""
        for instance in INSTANCES:
            self.stack.kill(instance)
        await asyncio.sleep(0.2)

    async def back(self) -> None:
        """Both run again, and what they had is nobody's."""
        await self.stack.wait_ready(timeout_s=60)
        await self.owner.execute(_LEASES_ARE_OVER)

    async def kill_in_front_of(self, table: str) -> None:
        """Both, while one of them at least is in the middle of its transaction."""
        async with held(self.stack.owner_dsn, f"stats.{table}"):
            await until(lambda: self.owner.fetchval(_WAITING, table), f"nobody writes {table}")
            await self.kill()
        await self.back()

    async def kill_when(self, is_so: Callable[[], bool], what: str) -> None:
        """Both, as soon as something is so."""

        async def look() -> bool:
            return is_so()

        await until(look, what)
        await self.kill()
        await self.back()


async def until(found: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Looks until there is something."""
    end = time.monotonic() + PATIENCE_S
    while not (one := await found()):
        assert time.monotonic() < end, what
        await asyncio.sleep(LOOK_S)
    return one


def _two_of_stats(settings: StackSettings) -> Plan:
    whole = Plan.whole_mesh(settings, first_port=0)
    second = ServiceSpec(instance=INSTANCES[1], arguments=("-m", "stats"), niceness=10)
    return replace(whole, services=(*whole.services, second))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with temporary_mesh(_two_of_stats) as stack:
        url = f"https://localhost:{stack.ports['edge_https']}"
        trust = ssl.create_default_context(cafile=str(pki.ca_path(stack.settings)))
        owner = await asyncpg.connect(stack.owner_dsn)
        async with httpx.AsyncClient(base_url=url, verify=trust, timeout=30) as web:
            email = f"{uuid.uuid4().hex}@example.com"
            world = World(stack=stack, owner=owner, web=web, company_id="", email=email)
            await _found_company(world)
            yield world
        await owner.close()


async def _found_company(world: World) -> None:
    """Somebody founds it, is made its manager by staff, and signs in."""
    staff = issue_token(world.stack.settings, subject="usr_" + "0" * 34, roles=("admin",))
    signing_in = {"email": world.email, "password": PASSWORD}
    founder = await world.post("/v1/users:register", **signing_in, name="Ada")

    async def sign_in() -> None:
        tokens = (await world.post("/v1/sessions:login", **signing_in))["tokens"]
        world.web.headers["authorization"] = f"Bearer {tokens['access_token']}"

    await sign_in()
    named = {"legal_name": "Acme Inc.", "registration_number": "4711", "country_code": "US"}
    world.company_id = (await world.post("/v1/companies", **named))["company"]["id"]
    world.web.headers["authorization"] = f"Bearer {staff}"
    access = {"roles": ["manager"], "company_id": world.company_id}
    await world.post(f"/v1/users/{founder['user_id']}:setAccess", **access)
    await sign_in()


def _begin() -> date:
    """The first day of the oldest of the last months that are over."""
    first = datetime.now(UTC).date().replace(day=1)
    for _ in range(MONTHS):
        first = (first - timedelta(days=1)).replace(day=1)
    return first


def _about(world: World) -> dict[str, Any]:
    return {
        "subject_id": world.company_id,
        "type": "REPORT_TYPE_SPENDING",
        "groups": [f"REPORT_GROUP_{one}" for one in GROUPS],
    }


async def _schedule(world: World) -> None:
    """Reports of months, the first of which was over long ago."""
    sent = {**_about(world), "interval": "PERIOD_TYPE_MONTH", "format": "REPORT_FORMAT_CSV"}
    await world.post("/v1/report-schedules", **sent)
    past = "UPDATE stats.report_schedule SET next_date = $1, due_time = now()"
    await world.owner.execute(past, _begin())


@pytest.mark.timeout(400)
async def test_killed_while_it_makes_reports(world: World) -> None:
    begin = _begin()
    await world.owner.execute(_FILL, begin, world.company_id, CARDS, MERCHANTS, ROWS)
    await _schedule(world)
    await world.kill_in_front_of("report_schedule")

    quarter = {**_about(world), "format": "REPORT_FORMAT_CSV", "request_id": "the-quarter"}
    quarter |= {"start_date": begin.isoformat(), "end_date": _end().isoformat()}
    asked = await world.post("/v1/reports", **quarter)
    await world.kill_when(lambda: _half_written(world.home), "nobody writes a file")
    assert await world.post("/v1/reports", **quarter) == asked
    stored = _parts(world.home)
    await world.kill_when(lambda: bool(_parts(world.home) - stored), "nobody stores a file")
    await world.kill_in_front_of("event")
    told = "SELECT count(*) FROM notify.notification WHERE topic = 'report.ready'"
    await until(lambda: world.owner.fetchval(told), "nobody is told")
    world.stack.kill("notify")

    await until(lambda: _all_ready(world), "not every report is made")
    reports = await world.reports()
    assert len(reports) == MONTHS + 1
    assert asked["report"]["id"] in {one["id"] for one in reports}
    for report in reports:
        await _check(world, report)
    await until(lambda: _nothing_left(world, reports), "files are left over")
    await _check_mails(world, [one["id"] for one in reports if one["report_schedule_id"]])


def _end() -> date:
    """The last day of the last of the months."""
    return datetime.now(UTC).date().replace(day=1) - timedelta(days=1)


def _half_written(home: Path) -> bool:
    return any(path.stat().st_size for path in (home / "reports").glob("*/report"))


def _parts(home: Path) -> set[Path]:
    return {path for path in (home / "documents").glob("rpt_*/*/*") if path.name.isdecimal()}


async def _all_ready(world: World) -> bool:
    rows = await world.owner.fetch("SELECT state FROM stats.report")
    states = [row["state"] for row in rows]
    assert "FAILED" not in states
    return len(states) > MONTHS and set(states) == {"READY"}


async def _check(world: World, report: dict[str, Any]) -> None:
    """Goal: the file is whole, and each purchase of its days is in it once."""
    content = await world.download(report)
    assert (len(content), sha256(content).hexdigest()) == (
        int(report["size_bytes"]),
        report["sha256"],
    )
    days = (date.fromisoformat(report[one]) for one in ("start_date", "end_date"))
    expected = sorted(
        (row["day"], row["card_id"], row["merchant"], row["category"], row["minor"])
        for row in await world.owner.fetch(_EXPECTED, world.company_id, *days)
    )
    rows = csv.DictReader(io.StringIO(content.decode(), newline=""))
    found = [(*(row[one] for one in _KEYS), int(row["purchases"].replace(".", ""))) for row in rows]
    assert sorted(found) == expected
    assert len(found) == int(report["row_count"]) > ROWS // MONTHS // 2


async def _nothing_left(world: World, reports: list[dict[str, Any]]) -> bool:
    """Of each report there are the parts of one attempt, and nothing of what was being made."""
    places = {(path.parents[1].name, path.parent.name) for path in _parts(world.home)}
    counts = {one["id"]: one["part_count"] for one in reports}
    return (
        len(places) == len(reports)
        and len(_parts(world.home)) == sum(counts.values())
        and not list((world.home / "reports").iterdir())
    )


async def _check_mails(world: World, report_ids: list[str]) -> None:
    """Goal: one mail of each that was scheduled."""
    assert len(report_ids) == MONTHS

    async def sent() -> bool:
        states = await world.owner.fetch(
            "SELECT data->>'report_id' AS report_id, state FROM notify.notification"
            " WHERE topic = 'report.ready'"
        )
        assert sorted(one["report_id"] for one in states) == sorted(report_ids)
        return {one["state"] for one in states} == {"SENT"}

    await until(sent, "not every mail is sent")
    told = mails(world.home, world.email)
    subjects = [one for one in told if one["Subject"].endswith("is ready")]
    assert len(subjects) == len({one["Message-ID"] for one in subjects}) == MONTHS
