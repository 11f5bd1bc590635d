"""`holdfast load`: every actor at work on the shared mesh, and the ledger against what they saw."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import movement_pb2
from loadtest import load_books
from loadtest.load_answers import Answers
from loadtest.load_town import money
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient
from tests.e2e.cli.conftest import Cardholder, Holdfast, purchase

_SECONDS = 10
#: What every run must show: each kind of request that an actor sends by itself.
_REQUESTS = {
    *("Authorize", "Authorize again", "Capture", "Reverse", "Reverse again"),
    *("GET balance", "GET spendUsage", "GET authorizations"),
    *("POST freeze", "POST authorization", "POST unfreeze"),
}


@pytest.mark.timeout(300)
async def test_a_short_day(holdfast: Holdfast, full_mesh: Devstack, tmp_path: Path) -> None:
    """Goal: every actor acts, everything that was answered is in the ledger, the books balance.

    Method: the mesh of the other tests; times are not judged, because this machine may be busy.
    """
    report = tmp_path / "report.html"
    ended = await holdfast(
        *("load", "--home", str(full_mesh.settings.home), "--json"),
        *("--seconds", str(_SECONDS), "--users", "15"),
        *("--p95-ms", "60000", "--html", str(report)),
    )
    assert ended.code == 0, ended
    document = json.loads(ended.stdout)
    assert document["verdict"] == "pass"
    assert document["requests"].keys() >= _REQUESTS
    assert document["failures"] == {}
    assert document["differing"] == document["unanswered"] == document["errors"] == []
    assert document["approved"] > 50
    assert document["declined"] > 0
    assert document["books"]["differences"] == 0
    assert "Locust Test Report" in report.read_text()


async def test_a_promise_that_no_machine_keeps(holdfast: Holdfast, full_mesh: Devstack) -> None:
    """Goal: exit 1, with only the broken promises named, to people."""
    ended = await holdfast(
        *("load", "--home", str(full_mesh.settings.home)),
        *("--seconds", "8", "--users", "8", "--p95-ms", "1"),
    )
    assert ended.code == 1, ended
    broken = [line for line in ended.stdout.splitlines() if "BROKEN" in line]
    assert len(broken) == 2
    assert all(line.startswith("p95 of") for line in broken)


async def test_nothing_runs(holdfast: Holdfast, tmp_path: Path) -> None:
    """Goal: exit 3 when a home is named on which nothing runs."""
    ended = await holdfast("load", "--home", str(tmp_path / "home"))
    assert ended.code == 3, ended


async def test_the_ledger_knows_more(mesh: MeshClient, cardholder: Cardholder) -> None:
    """Goal: money that moved without an answer to the users is found, to the cent, on each side.

    Method: two purchases, one clearing and one refund; each is told to the answers one step late.
    """
    account_id = cardholder.account_id
    answers = Answers()

    async def found() -> list[str]:
        differences = await load_books.differences(mesh, answers, [account_id])
        return sorted(one.partition(": ")[2] for one in differences)

    first = await purchase(mesh, cardholder.card_id, 1_000)
    unseen = ["held is 1000, answered was 0", "in the ledger, nobody was answered"]
    assert await found() == unseen
    answers.authorized(account_id, first)
    assert await found() == []
    captured = await mesh.network.CaptureAuthorization(
        rpc.CaptureAuthorizationRequest(
            request_id=f"load-test-{first.authorization_id[-12:]}-capture",
            authorization_id=first.authorization_id,
            amount=money(700),
            final=True,
        )
    )
    assert await found() == [
        "captured is 700, answered was 0",
        "held is 0, answered was 1000",
        "held is 0, answered was 1000",
        "owed in the ledger is 700, answered was 0",
        "posted is 700, answered was 0",
    ]
    answers.captured(captured)
    assert await found() == []
    refunded = await mesh.network.Refund(
        movement_pb2.RefundRequest(
            request_id=f"load-test-{first.authorization_id[-12:]}-refund",
            authorization_id=first.authorization_id,
            amount=money(1),
        )
    )
    assert "refunded is 1, answered was 0" in await found()
    answers.refunded(refunded)
    assert await found() == []
