"""`holdfast reports`: files of what was spent, for web clients, too; the largest part there is."""

from __future__ import annotations

import csv
import json
import os
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import asyncpg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runtime.devstack.supervisor import Devstack
from runtime.files import make_private_folder
from runtime.mesh_client import MeshClient
from stats.reports.files import PART_BYTES
from tests.e2e.cli.conftest import Cardholder, Holdfast, capture, purchase
from tests.e2e.cli.test_stats import counted


async def test_a_report_is_asked_for_and_fetched(
    mesh: MeshClient,
    cardholder: Cardholder,
    full_mesh: Devstack,
    holdfast: Holdfast,
    tmp_path: Path,
) -> None:
    held = await purchase(mesh, cardholder.card_id, 5_000)
    await capture(mesh, held.authorization_id, 3_000)
    today = datetime.now(UTC).date().isoformat()
    await counted(mesh, cardholder.account_id, today, 1)
    home = ("--home", str(full_mesh.settings.home))
    about = ("reports", "create", cardholder.account_id, *home, "--from", today)
    for number, (format_, begins) in enumerate(
        (("csv", b"card_id"), ("json", b"{"), ("xlsx", b"PK"), ("pdf", b"%PDF"))
    ):
        out = tmp_path / f"report-{number}"
        ended = await holdfast(*about, "--format", format_, "--by", "card", "--out", str(out))
        assert ended.code == 0, ended.stderr
        assert out.read_bytes().startswith(begins)
    (row,) = csv.DictReader((tmp_path / "report-0").read_text().splitlines())
    assert (row["card_id"], row["net_spend"]) == (cardholder.card_id, "30.00")
    out = tmp_path / "journal"
    ended = await holdfast(*about, "--type", "accounting", "--out", str(out))
    assert ended.code == 0, ended.stderr
    accounts = [line["account"] for line in csv.DictReader(out.read_text().splitlines())]
    assert accounts == ["Card receivables - purchases", "Card network settlement"]
    listed = await holdfast("reports", "list", cardholder.account_id, *home, "--json")
    states = [one["state"] for one in json.loads(listed.stdout)["reports"]]
    assert states == ["REPORT_STATE_READY"] * 5
    assert (await holdfast("reports", "download", "rpt_1", *home)).code == 2
    assert (await holdfast("reports", "create", "acct_1", *home, "--from", today)).code == 2
    await _the_largest_part(mesh, full_mesh, cardholder.account_id)


async def _the_largest_part(mesh: MeshClient, full_mesh: Devstack, account_id: str) -> None:
    """Web clients get it, too: Envoy makes JSON of no more than it holds at once."""
    content, key = os.urandom(PART_BYTES), os.urandom(32)
    report_id = f"rpt_{account_id[5:7]}{'5' * 32}"
    nonce = (1).to_bytes(4, "big") + (1).to_bytes(8, "big")
    folder = full_mesh.settings.home / "documents" / report_id
    make_private_folder(folder)
    make_private_folder(folder / "1")
    (folder / "1" / "1").write_bytes(AESGCM(key).encrypt(nonce, content, None))
    connection = await asyncpg.connect(full_mesh.owner_dsn)
    try:
        await connection.execute(
            "INSERT INTO stats.report (id, subject_id, type, format, currency_code, groups, books,"
            " start_date, end_date, state, part_count, attempts, key, principal, create_time,"
            " expire_time) VALUES ($1, $2, 'SPENDING', 'CSV', '', '{}', 'ISSUER', '2026-01-01',"
            " '2026-01-01', 'READY', 1, 1, $3, 'tester', now(), now() + interval '1 day')",
            report_id,
            account_id,
            key,
        )
    finally:
        await connection.close()
    answer = await mesh.web.get(f"/v1/reports/{report_id}:download")
    assert answer.status_code == 200, answer.text[:200]
    assert answer.headers["content-type"].startswith("text/csv")
    assert sha256(answer.content).digest() == sha256(content).digest()
