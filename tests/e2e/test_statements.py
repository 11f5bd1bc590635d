"""Statements as a web client gets them: JSON and files through Envoy."""

from __future__ import annotations

from datetime import UTC, date, datetime

import asyncpg

from holdfast.accounts.v1 import statement_pb2 as pb
from holdfast.type.v1.money_pb2 import Money
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import connect
from runtime.validate import timestamp
from tests.e2e.test_purchases import open_card

_NOW = datetime(2027, 2, 16, 5, tzinfo=UTC)


async def _bill(stack: Devstack, account_id: str) -> None:
    """A statement of nothing, as billing would have written it."""
    nothing = Money(currency_code="USD")
    statement = pb.Statement(
        account_id=account_id,
        number=1,
        time_zone="America/New_York",
        cycle_start_date="2027-01-16",
        cycle_end_date="2027-02-15",
        due_date="2027-03-12",
        issue_time=timestamp(int(_NOW.timestamp() * 1000)),
    )
    for message in (statement, statement.totals, statement.year_to_date):
        for field in message.DESCRIPTOR.fields:
            if field.message_type is Money.DESCRIPTOR:
                getattr(message, field.name).CopyFrom(nothing)
    owner = await asyncpg.connect(stack.owner_dsn)
    try:
        await owner.execute(
            "INSERT INTO accounts.billing_account (account_id, phase) VALUES ($1, 'ENDED')",
            account_id,
        )
        await owner.execute(
            "INSERT INTO accounts.statement VALUES"
            " ($1, 1, $2, $3, $3, $3, 0, 0, 1, '{}', $4, $5, $5)",
            account_id,
            f"stmt_{account_id[5:]}",
            date(2027, 2, 15),
            statement.SerializeToString(),
            _NOW,
        )
    finally:
        await owner.close()


async def test_json_and_files(full_mesh: Devstack) -> None:
    async with connect(full_mesh.settings, full_mesh.ports) as client:
        account_id, _ = await open_card(client, limit_minor=1_000)
        await _bill(full_mesh, account_id)
        path = f"/v1/accounts/{account_id}/statements"
        listed = (await client.web.get(path)).json()
        (statement,) = listed["statements"]
        assert (statement["number"], statement["issue_time"]) == (1, "2027-02-16T05:00:00Z")
        found = (await client.web.get(f"{path}/1")).json()
        assert found["statement"] == statement
        for kind, content_type in (
            ("CSV", "text/csv; charset=utf-8"),
            ("JSON", "application/json"),
            ("PDF", "application/pdf"),
        ):
            answer = await client.web.get(
                f"{path}/1:download", params={"format": f"STATEMENT_FORMAT_{kind}"}
            )
            assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)
            if kind == "PDF":
                assert answer.content.startswith(b"%PDF")
        answer = await client.web.get(f"{path}/2")
        assert answer.status_code == 404
        assert answer.json()["details"][0]["reason"] == "STATEMENT_NOT_FOUND"
