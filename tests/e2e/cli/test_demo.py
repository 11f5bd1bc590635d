"""`holdfast demo`: ends by itself, shows what it says, and leaves nothing behind."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.e2e.cli.conftest import Holdfast


def _started_from(folder: Path) -> list[psutil.Process]:
    """Processes that name the folder: Envoy's, Valkey's and PostgreSQL's arguments do."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


async def test_the_demo(holdfast: Holdfast) -> None:
    """Goal: exit 0, one JSON document, the balance line; processes and folders are gone.

    Method: the temporary home is taken from the curl line, which must be one that a shell reads.
    """
    ended = await holdfast("demo", "--json")
    assert ended.code == 0, ended
    document = json.loads(ended.stdout)
    assert document["books"]["differences"] == 0
    assert document["rush"]["purchases"] > 50
    assert set(document["rush"]["latency_ms"]) == {"p50", "p95", "p99"}
    assert sum(row["balance_minor"] for row in document["trial_balance"]) == 0
    assert document["seconds"] - document["ready_after_s"] < 90
    books = document["books"]
    line = f"books balance: {books['accounts']} accounts, {books['entries']} entries, 0 differences"
    assert line in ended.stderr
    facts = [fact for scene in document["scenes"] for fact in scene["facts"]]
    declines = [fact["decline_reason"] for fact in facts if "decline_reason" in fact]
    assert declines == [
        "CARD_NOT_ACTIVATED",
        "SPEND_LIMIT_EXCEEDED",
        "CARD_FROZEN",
        "CARD_LOST",
        "SPEND_LIMIT_EXCEEDED",
        "SINGLE_USE_ALREADY_USED",
        "INSUFFICIENT_CREDIT",
        "SPEND_LIMIT_EXCEEDED",
    ]
    left = [(fact["control_id"], fact["left_minor"]) for fact in facts if "left_minor" in fact]
    assert left == [("user/daily", 1_000), ("card/daily", 1_500)]
    assert [fact["revealed"] for fact in facts if "revealed" in fact] == ["PERMISSION_DENIED", "OK"]
    assert [fact["idempotent_replayed"] for fact in facts if "idempotent_replayed" in fact] == [
        "true"
    ]
    told = {name: value for fact in facts for name, value in fact.items()}
    assert (told["application"], told["activated"]) == ("STATE_APPROVED", "STATE_ACTIVE")
    assert told["email"] == "a***@example.com"
    assert told["replaced_by"].startswith("card_")
    assert (told["funding_source"], told["forged"]) == ("VISA 4242", "refused")
    assert told["webhook"] == "payment.credited"
    assert 0 < told["webhook_after_s"] < 20
    assert (told["subject"], told["mails"]) == (
        "A purchase of 20.00 USD was declined",
        3,
    )
    assert len(document["scenes"]) >= 30
    _check_the_edge(told)
    _check_billing(facts, told)
    wide = [line for line in ended.stderr.splitlines() if len(line) > 80 and "--cacert" not in line]
    assert wide == []
    line = next(fact["curl"] for fact in facts if "curl" in fact)
    curl = shlex.split(line.replace("\\\n", ""))
    assert curl[0] == "curl"
    assert json.loads(curl[curl.index("-d") + 1])["amount"]["amount_minor"] == "2199"
    assert re.fullmatch(r"https://localhost:\d+/v1/authorizations", curl[1])
    folder = Path(curl[curl.index("--cacert") + 1]).parents[2]
    assert folder.name.startswith("holdfast-")
    assert not folder.exists()
    assert _started_from(folder) == []


def _check_the_edge(told: dict[str, Any]) -> None:
    """Sessions, keys, limits, the audit log: each was shown, with the answer it must have."""
    assert told["own_card"] == httpx.codes.OK
    assert told["other_card"] == httpx.codes.NOT_FOUND
    assert told["after_logout"] == httpx.codes.UNAUTHORIZED
    assert (told["keys"], told["failed"]) == (2, 0)
    assert told["calls"] > 10
    assert told["limited"] == httpx.codes.TOO_MANY_REQUESTS
    assert 0 < told["retry_after_s"] <= 60
    assert told["revoked"] == httpx.codes.UNAUTHORIZED
    assert told["revoked_after_s"] < 5
    assert told["links"] > 20
    assert f"row {told['tampered']}:" in told["wrong"]


def _check_billing(facts: list[dict[str, Any]], told: dict[str, Any]) -> None:
    """Two statements with minimum payments, a late fee, interest, autopay, a dispute won."""
    statements = [
        (fact["statement"], fact["closing_minor"], fact["lines"])
        for fact in facts
        if "statement" in fact
    ]
    first, second = 100_000, told["paid_minor"]
    assert statements == [(1, first, 3), (2, second, 2)]
    assert second == first + told["late_fee_minor"] + told["interest_minor"]
    assert (told["late_fee_minor"], told["bucket"]) == (2_500, "DELINQUENCY_BUCKET_DAYS_1_29")
    # 24.99 % of 1,000.00 for a month of 28 to 31 days.
    assert 1_917 <= told["interest_minor"] <= 2_122
    assert told["autopay"] == "CAUSE_AUTOPAY"
    assert told["pdf"].endswith("/statements/1:download")
    assert (told["dispute"], told["credited_minor"]) == ("STATE_WON", 12_655)
