"""A card that is cleared of suspicion: by its configuration, journaled, and rebuilt."""

from __future__ import annotations

import asyncio
from typing import Any

from authz import keys
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.type.v1 import default_rules_pb2 as rules_pb
from tests.authz_checks import approved
from tests.authz_mesh import NETWORK, AuthzMesh, purchase
from tests.integration.authz.test_rehydrate import FORCE, contents, quick, rehydrated, same
from tests.rpc.authz.test_rules import PROGRAMME, company_account
from tests.rpc.authz.test_spend_limits import refusal, spend

__all__ = ["quick"]

TESTED = ("SUSPECTED_FRAUD", "programme/card_testing")
ABROAD = ("SUSPECTED_FRAUD", "programme/first_abroad")


async def _guess(mesh: AuthzMesh, card: str) -> tuple[str, str]:
    request = purchase(card, 100)
    request.verification.cvv = pb.CHECK_RESULT_MISMATCH
    return refusal(await mesh.authorization.Authorize(request, metadata=NETWORK))


async def _travelling(mesh: AuthzMesh) -> tuple[str, str]:
    """A card with both checks, and its account."""
    first = rules_pb.FirstAbroadCheck(home_country="US")
    first.wait.FromSeconds(3_600)
    checks = rules_pb.FraudChecks(first_abroad=first)
    await mesh.apply_rules(PROGRAMME, rules_pb.DefaultRules(fraud_checks=checks))
    account = await company_account(mesh)
    return await mesh.issue_card(account), account


async def test_cleared_up_to_a_moment_and_rebuilt_so(mesh: AuthzMesh) -> None:
    """What came before is forgotten, what comes after counts; a rebuilt store knows the same."""
    card, account = await _travelling(mesh)
    for _ in range(8):
        await _guess(mesh, card)
    assert refusal(await spend(mesh, card, 1)) == TESTED
    cleared_ms = mesh.clock.now_ms()
    assert await mesh.apply_card(card, account, version=2, clear_ms=cleared_ms) == 2
    await approved(mesh, card, 1)
    assert refusal(await spend(mesh, card, 1, country_code="FR")) == ABROAD
    mesh.clock.advance(1_000)
    assert refusal(await spend(mesh, card, 1, country_code="FR")) == ABROAD
    cleared_ms = mesh.clock.now_ms()
    await mesh.apply_card(card, account, version=3, clear_ms=cleared_ms)
    await spend(mesh, card, 1, country_code="FR")
    assert refusal(await spend(mesh, card, 2, country_code="FR")) == ("UNSPECIFIED", "")
    mesh.clock.advance(1_000)
    assert refusal(await spend(mesh, card, 1, country_code="DE")) == ABROAD
    for _ in range(2):
        await _guess(mesh, card)
    # A later version that clears nothing new changes nothing of it.
    await mesh.apply_card(card, account, version=4, clear_ms=cleared_ms)
    kept: Any = await mesh.money.hget(keys.recent(card), "declines")
    assert len(kept.split(b";")) == 2
    abroad: Any = await mesh.money.hget(keys.learned(card), "abroad")
    assert abroad.split(b";")[1] == b"FR,0"
    await mesh.settle()
    before = await contents(mesh.money)
    await rehydrated(mesh, FORCE)
    same(before, await contents(mesh.money))


async def test_a_replacement_clears_its_line(mesh: AuthzMesh) -> None:
    card, account = await _travelling(mesh)
    for _ in range(8):
        await _guess(mesh, card)
    new = mesh.ids.new("card", 10)
    await mesh.apply_card(new, account, root_card_id=card)
    assert refusal(await spend(mesh, new, 1)) == TESTED
    await mesh.apply_card(new, account, version=2, root_card_id=card, clear_ms=mesh.clock.now_ms())
    await approved(mesh, card, 1)
    assert await mesh.money.exists(keys.recent(card)) == 0


async def test_harmless_changes_reopen_nothing(mesh: AuthzMesh) -> None:
    """Another version of a used single-use card, and its replacement, are used up; a guess that
    races with versions is neither lost nor forgiven.
    """
    account = await company_account(mesh)
    card = await mesh.issue_card(account, single_use=True)
    await approved(mesh, card, 1)
    used = ("SINGLE_USE_ALREADY_USED", "")
    active = projection.CARD_STATE_ACTIVE
    for version in range(2, 6):
        await mesh.apply_card(card, account, version=version, single_use=True, state=active)
        assert refusal(await spend(mesh, card, 1)) == used
    new = mesh.ids.new("card", 10)
    await mesh.apply_card(new, account, root_card_id=card, single_use=True)
    assert refusal(await spend(mesh, new, 1)) == used
    other = await mesh.issue_card(account)
    await asyncio.gather(
        *(_guess(mesh, other) for _ in range(20)),
        *(mesh.apply_card(other, account, version=version) for version in range(2, 12)),
    )
    assert refusal(await spend(mesh, other, 1)) == TESTED
