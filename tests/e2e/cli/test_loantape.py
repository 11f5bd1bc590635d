"""`holdfast loantape`: days that are over are written, verified, exported; others are refused."""

from __future__ import annotations

import asyncio
import csv
import json
import uuid
from datetime import date, timedelta
from pathlib import Path

import asyncpg

from holdfast.accounts.v1 import account_service_pb2
from runtime.clock import SystemClock, datetime_of
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient
from tests.billing_mesh import credit_terms, usd
from tests.e2e.cli.conftest import Holdfast

BEGAN_DAYS_AGO = 10
_WAIT_S = 30.0
_PROGRAMME = """
    INSERT INTO accounts.programme (id, display_name, kind, network, currency_code, bin, state,
        underwriting, first_card_kind, version, create_time, update_time)
    VALUES ($1, 'Tape', 'CONSUMER', 'VISA', 'USD', '400000', 'ACTIVE', '', 'VIRTUAL', 1, $2, $2)
"""
_TERMS = """
    INSERT INTO accounts.programme_terms (programme_id, version, effective_date, terms, create_time)
    VALUES ($1, 1, $2, $3, $4)
"""


async def _billed_account(mesh: MeshClient, stack: Devstack, today: date) -> str:
    """An account whose first cycle began days ago."""
    began, programme_id = today - timedelta(days=BEGAN_DAYS_AGO), f"prog_{uuid.uuid4().hex[:8]}"
    terms = credit_terms(effective_date=str(began))
    terms.cycle.time_zone, terms.cycle.closing_day = "UTC", 0
    owner = await asyncpg.connect(stack.owner_dsn)
    try:
        moment = datetime_of(SystemClock().now_ms()) - timedelta(days=BEGAN_DAYS_AGO)
        await owner.execute(_PROGRAMME, programme_id, moment)
        await owner.execute(_TERMS, programme_id, began, terms.SerializeToString(), moment)
        opened = await mesh.accounts.OpenAccount(
            account_service_pb2.OpenAccountRequest(
                request_id=f"tape-{uuid.uuid4().hex}",
                owner_id=f"usr_0a{uuid.uuid4().hex}",
                programme_id=programme_id,
                credit_limit=usd(100_000),
            )
        )
        account_id: str = opened.account.id
        await owner.execute(
            "UPDATE accounts.account SET create_time = $2 WHERE id = $1", account_id, moment
        )
        await owner.execute(
            "INSERT INTO accounts.billing_account (account_id, phase, work_time)"
            " VALUES ($1, 'NEW', $2) ON CONFLICT DO NOTHING",
            account_id,
            moment,
        )
        async with asyncio.timeout(_WAIT_S):
            begun = "SELECT state IS NOT NULL FROM accounts.billing_account WHERE account_id = $1"
            while not await owner.fetchval(begun, account_id):  # noqa: ASYNC110 - tells nobody
                await asyncio.sleep(0.1)
    finally:
        await owner.close()
    return account_id


async def test_a_day_that_is_over(
    mesh: MeshClient, full_mesh: Devstack, holdfast: Holdfast, tmp_path: Path
) -> None:
    """Built, verified byte for byte, and exported with the account in it."""
    today = datetime_of(SystemClock().now_ms()).date()
    account_id = await _billed_account(mesh, full_mesh, today)
    home, day = str(full_mesh.settings.home), str(today - timedelta(days=3))
    for command in ("build", "rebuild", "verify"):
        ended = await holdfast("loantape", command, day, "--home", home, "--json")
        assert ended.code == 0, (command, ended)
        found = json.loads(ended.stdout)["days"][day]
        assert found["rows"] >= 1
        assert (found["changed"], found["waiting"]) == (0, 0)
    file = tmp_path / "tape.csv"
    ended = await holdfast("loantape", "export", day, str(file), "--home", home)
    assert ended.code == 0, ended
    rows = list(csv.DictReader(file.read_text().splitlines()))
    (row,) = (one for one in rows if one["account_id"] == account_id)
    assert (row["day"], row["bucket"], row["balance"]) == (day, "CURRENT", "0.00")
    again = await holdfast("loantape", "export", day, str(file), "--home", home)
    assert again.code == 2
    assert "exists" in again.stderr


async def test_a_day_that_is_not(full_mesh: Devstack, holdfast: Holdfast, tmp_path: Path) -> None:
    """It is said which day is; a day without a tape is not exported as an empty file."""
    home, today = str(full_mesh.settings.home), datetime_of(SystemClock().now_ms()).date()
    for command in ("build", "rebuild", "verify"):
        ended = await holdfast("loantape", command, str(today), "--home", home)
        assert ended.code == 2, ended
        assert f"{today} is not over everywhere yet" in ended.stderr.replace("\n", " ")
    first = str(today - timedelta(days=3))
    ended = await holdfast("loantape", "build", first, "--until", str(today), "--home", home)
    assert ended.code == 2
    file = tmp_path / "tape.csv"
    for day, said in ((str(today), "is not complete"), ("2027-02-30", "is no day")):
        ended = await holdfast("loantape", "export", day, str(file), "--home", home)
        assert (ended.code, file.exists()) == (2, False)
        assert said in ended.stderr
