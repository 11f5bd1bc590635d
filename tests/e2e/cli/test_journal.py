"""`holdfast journal show`: the entries of an account, settled or not, newest last."""

from __future__ import annotations

import json

from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient
from tests.e2e.cli.conftest import Cardholder, Holdfast, capture, purchase


async def test_the_life_of_an_account(
    mesh: MeshClient, cardholder: Cardholder, full_mesh: Devstack, holdfast: Holdfast
) -> None:
    """Configuration, a purchase, its clearing: with lines and balances after."""
    held = await purchase(mesh, cardholder.card_id, 5_000)
    await capture(mesh, held.authorization_id, 3_000)
    home = str(full_mesh.settings.home)
    ended = await holdfast("journal", "show", cardholder.account_id, "--home", home, "--json")
    assert ended.code == 0, ended.stderr
    entries = json.loads(ended.stdout)["entries"]
    assert [one["seq"] for one in entries] == [1, 2, 3, 4]
    kinds = ["ACCOUNT_APPLIED", "CARD_APPLIED", "AUTHORIZATION", "CAPTURE"]
    assert [one["type"] for one in entries] == kinds
    last = entries[-1]
    assert (last["posted_minor"], last["held_minor"], last["available_minor"]) == (
        3_000,
        2_000,
        95_000,
    )
    assert {(line["ledger_account"], line["amount_minor"]) for line in last["lines"]} == {
        ("receivable.purchase", 3_000),
        ("network_clearing", -3_000),
    }
    shown = await holdfast("journal", "show", cardholder.account_id, "--home", home, "--limit", "1")
    assert shown.code == 0
    assert "CAPTURE" in shown.stdout
    assert "AUTHORIZATION" not in shown.stdout


async def test_unknown_and_malformed(full_mesh: Devstack, holdfast: Holdfast) -> None:
    """An id that is none is a usage error; an account that nobody knows is told."""
    home = str(full_mesh.settings.home)
    assert (await holdfast("journal", "show", "acct_1", "--home", home)).code == 2
    unknown = "acct_0a" + "0" * 32
    assert (await holdfast("journal", "show", unknown, "--home", home)).code == 1
