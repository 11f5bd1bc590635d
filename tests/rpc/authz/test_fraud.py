"""Checks against fraud: card testing, the first use abroad, the same purchase again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from authz import keys
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.type.v1 import default_rules_pb2 as rules_pb
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from tests.authz_checks import answered, approved, network_purchase, usd
from tests.authz_mesh import NETWORK, AuthzMesh, purchase, reversal_of
from tests.authz_messages import advice, forced
from tests.rpc.authz.test_rules import COMPANY, PROGRAMME, USER, company_account
from tests.rpc.authz.test_spend_limits import refusal, spend

MINUTE_MS = 60_000
TESTED = ("SUSPECTED_FRAUD", "programme/card_testing")
WRONG_CVV = ("CVV_MISMATCH", "")


async def checked(mesh: AuthzMesh, *, of: str = PROGRAMME, **checks: Any) -> str:
    """A card whose programme (or company) has these checks."""
    found = rules_pb.FraudChecks(**checks)
    await mesh.apply_rules(of, rules_pb.DefaultRules(fraud_checks=found))
    return await mesh.issue_card(await company_account(mesh))


async def guess(mesh: AuthzMesh, card: str, check: str = "cvv") -> tuple[str, str]:
    """What a purchase with a wrong detail is declined with."""
    request = purchase(card, 100)
    setattr(request.verification, check, pb.CHECK_RESULT_MISMATCH)
    return refusal(await mesh.authorization.Authorize(request, metadata=NETWORK))


async def test_too_many_guesses_suspect_the_card_until_they_age_out(mesh: AuthzMesh) -> None:
    """By default, eight within ten minutes; right and wrong details are then answered alike."""
    card, other = await mesh.card(), await mesh.card()
    for number in range(8):
        mesh.clock.advance(1_000)
        assert await guess(mesh, card, ("cvv", "expiry", "pin")[number % 3]) != TESTED
    first_ms = mesh.clock.now_ms() - 7_000
    for _ in range(3):
        assert await guess(mesh, card) == TESTED
        assert refusal(await spend(mesh, card, 0)) == TESTED
        answer = await spend(mesh, card, 100)
        assert (refusal(answer), answer.response_code) == (TESTED, "59")
        assert not answer.control.HasField("left_amount")
    await approved(mesh, other, 100)
    mesh.clock.advance(first_ms + 10 * MINUTE_MS - mesh.clock.now_ms() - 1)
    assert refusal(await spend(mesh, card, 100)) == TESTED
    mesh.clock.advance(1)
    await approved(mesh, card, 100)
    # SUSPECTED_FRAUD itself did not count: seven others are left, and one more is too many.
    assert await guess(mesh, card) == WRONG_CVV
    assert await guess(mesh, card) == TESTED


async def test_a_customer_who_mistypes_is_not_suspected(mesh: AuthzMesh) -> None:
    card = await mesh.card()
    for _ in range(7):
        assert await guess(mesh, card, "pin") == ("PIN_INCORRECT", "")
    await approved(mesh, card, 100)


async def test_what_says_that_the_card_is_right_does_not_count(mesh: AuthzMesh) -> None:
    """Short funds, a state, and repetitions of the same request or network transaction."""
    account = await mesh.open_account(100)
    card = await mesh.issue_card(account)
    for _ in range(10):
        assert refusal(await spend(mesh, card, 101)) == ("INSUFFICIENT_CREDIT", "")
    repeated, again = purchase(card, 100, "same"), network_purchase(card, 100, "t1")
    for request in (repeated, again):
        request.verification.cvv = pb.CHECK_RESULT_MISMATCH
    for number in range(10):
        answer, replayed = await answered(mesh.authorization.Authorize, repeated)
        assert (refusal(answer), replayed) == (WRONG_CVV, number > 0)
        again.request_id = f"again-{number}"
        answer = await mesh.authorization.Authorize(again, metadata=NETWORK)
        assert refusal(answer) == WRONG_CVV
    kept: Any = await mesh.money.hget(keys.recent(card), "declines")
    assert len(kept.split(b";")) == 2
    await approved(mesh, card, 100)


async def test_guesses_at_once_stop_at_the_limit(mesh: AuthzMesh) -> None:
    """Counted in the script: thirty in parallel are answered as eight and the rest."""
    card = await mesh.card()
    found = await asyncio.gather(*(guess(mesh, card) for _ in range(30)))
    assert sorted(found) == sorted([WRONG_CVV] * 8 + [TESTED] * 22)


async def test_the_line_of_a_card_is_suspected_and_nothing_else_is_refused(mesh: AuthzMesh) -> None:
    """A replacement is; clearings, advice and refunds come through."""
    account = await mesh.open_account()
    card, new = await mesh.issue_card(account), mesh.ids.new("card", 10)
    held = await approved(mesh, card, 500)
    for _ in range(8):
        await guess(mesh, card)
    await mesh.apply_card(new, account, root_card_id=card)
    assert refusal(await spend(mesh, new, 1)) == TESTED
    told = await mesh.authorization.Authorize(advice(card, 5), metadata=NETWORK)
    assert told.decision == pb.DECISION_APPROVED
    await mesh.authorization.ForcePost(forced(card, 5), metadata=NETWORK)
    await mesh.authorization.ReverseAuthorization(reversal_of(held), metadata=NETWORK)


async def test_forbidden_uses_count_and_are_answered_alike(mesh: AuthzMesh) -> None:
    """A control's decline, a merchant lock's included."""
    account = await mesh.open_account()
    card = mesh.ids.new("card", 10)
    controls = SpendControls(merchant_lock=True, blocked_countries=["KP"])
    await mesh.apply_card(card, account, controls=controls)
    await approved(mesh, card, 1)
    for number in range(8):
        where = {"id": "m-9", "descriptor": "Elsewhere"}
        answer = await spend(mesh, card, 1, **({"country_code": "KP"} if number % 2 else where))
        assert refusal(answer) != TESTED
    for where in ({}, {"country_code": "KP"}, {"id": "m-9", "descriptor": "Elsewhere"}):
        assert refusal(await spend(mesh, card, 1, **where)) == TESTED


async def test_thresholds_are_the_programme_s_and_the_company_s(mesh: AuthzMesh) -> None:
    testing = rules_pb.CardTestingCheck(declines=3)
    testing.window.FromSeconds(60)
    card = await checked(mesh, of=COMPANY, card_testing=testing)
    for _ in range(3):
        await guess(mesh, card)
    assert refusal(await spend(mesh, card, 1)) == ("SUSPECTED_FRAUD", "company/card_testing")
    mesh.clock.advance(MINUTE_MS)
    await approved(mesh, card, 1)
    for _ in range(2):
        await guess(mesh, card)
        mesh.clock.advance(MINUTE_MS)
    for _ in range(3):
        await guess(mesh, card)
    # Eight in ten minutes: the programme's default goes on beside the company's.
    mesh.clock.advance(MINUTE_MS)
    assert refusal(await spend(mesh, card, 1)) == TESTED


async def test_switched_off_it_neither_declines_nor_remembers(mesh: AuthzMesh) -> None:
    card = await checked(mesh, card_testing=rules_pb.CardTestingCheck(disabled=True))
    for _ in range(12):
        assert await guess(mesh, card) == WRONG_CVV
    assert not await mesh.money.exists(keys.recent(card))
    await approved(mesh, card, 1)


async def test_what_is_remembered_is_bounded_and_expires(mesh: AuthzMesh) -> None:
    testing = rules_pb.CardTestingCheck(declines=20)
    card = await checked(mesh, card_testing=testing, repetition=rules_pb.RepetitionCheck())
    for _ in range(20):
        await guess(mesh, card)
        mesh.clock.advance(31_000)
    for number in range(12):
        await approved(mesh, card, 100 + number)
    found: Any = await mesh.money.hgetall(keys.recent(card))
    assert [len(found[name].split(b";")) for name in (b"declines", b"bought")] == [20, 8]
    assert 0 < await mesh.money.pttl(keys.recent(card)) <= 60 * MINUTE_MS
    plain = await mesh.card()
    await approved(mesh, plain, 1)
    assert not await mesh.money.exists(keys.recent(plain))


async def abroad(mesh: AuthzMesh, card: str, country: str = "FR") -> rpc.AuthorizeResponse:
    return await spend(mesh, card, 100, country_code=country)


async def test_the_first_use_in_a_country_waits(mesh: AuthzMesh) -> None:
    check = rules_pb.FirstAbroadCheck(home_country="US")
    card = await checked(mesh, first_abroad=check)
    refused = ("SUSPECTED_FRAUD", "programme/first_abroad")
    await approved(mesh, card, 100)
    assert (await abroad(mesh, card, "")).decision == pb.DECISION_APPROVED
    assert refusal(await abroad(mesh, card)) == refused
    mesh.clock.advance(10 * MINUTE_MS - 1)
    assert refusal(await abroad(mesh, card)) == refused
    mesh.clock.advance(1)
    assert (await abroad(mesh, card)).decision == pb.DECISION_APPROVED
    assert refusal(await abroad(mesh, card, "DE")) == refused
    assert (await abroad(mesh, card)).decision == pb.DECISION_APPROVED
    new = mesh.ids.new("card", 10)
    account = (await mesh.worker.store.snapshot(card)).account.account_id  # type: ignore[union-attr]
    await mesh.apply_card(new, account, root_card_id=card)
    assert (await abroad(mesh, new)).decision == pb.DECISION_APPROVED
    assert refusal(await abroad(mesh, await mesh.issue_card(account))) == refused


async def test_a_country_is_noted_only_by_what_would_have_passed(mesh: AuthzMesh) -> None:
    """A guess in a country does not begin the wait."""
    card = await checked(mesh, first_abroad=rules_pb.FirstAbroadCheck(home_country="US"))
    request = purchase(card, 100)
    request.merchant.country_code = "FR"
    request.verification.cvv = pb.CHECK_RESULT_MISMATCH
    await mesh.authorization.Authorize(request, metadata=NETWORK)
    assert not await mesh.money.exists(keys.learned(card))
    mesh.clock.advance(11 * MINUTE_MS)
    assert refusal(await abroad(mesh, card))[1] == "programme/first_abroad"


async def test_the_same_purchase_within_a_minute_is_a_duplicate(mesh: AuthzMesh) -> None:
    card = await checked(mesh, repetition=rules_pb.RepetitionCheck())
    repeated = ("DUPLICATE_TRANSACTION", "programme/repetition")
    first = await approved(mesh, card, 100)
    for other in ({"id": "m-2"}, {"descriptor": "Other"}):
        answer = await spend(mesh, card, 100, **other)
        assert answer.decision == pb.DECISION_APPROVED
    await approved(mesh, card, 101)
    answer = await spend(mesh, card, 100)
    assert (refusal(answer), answer.response_code) == (repeated, "94")
    for _ in range(2):
        assert (await spend(mesh, card, 0)).decision == pb.DECISION_APPROVED
    mesh.clock.advance(MINUTE_MS)
    await approved(mesh, card, 100)
    assert refusal(await spend(mesh, card, 100)) == repeated
    await mesh.authorization.ReverseAuthorization(reversal_of(first), metadata=NETWORK)
    assert refusal(await spend(mesh, card, 100)) == repeated


@pytest.mark.parametrize("parts", [(None,), (100,), (40, 60)])
async def test_what_was_reversed_may_be_bought_again_at_once(
    mesh: AuthzMesh, parts: tuple[int | None, ...]
) -> None:
    card = await checked(mesh, repetition=rules_pb.RepetitionCheck())
    first = await approved(mesh, card, 100)
    for part in parts:
        assert refusal(await spend(mesh, card, 100))[0] == "DUPLICATE_TRANSACTION"
        await mesh.authorization.ReverseAuthorization(reversal_of(first, part), metadata=NETWORK)
    await approved(mesh, card, 100)
    assert refusal(await spend(mesh, card, 100))[0] == "DUPLICATE_TRANSACTION"


async def test_at_once_one_of_twenty_is_approved(mesh: AuthzMesh) -> None:
    card = await checked(mesh, repetition=rules_pb.RepetitionCheck())
    answers = await asyncio.gather(*(spend(mesh, card, 100) for _ in range(20)))
    assert sum(one.approved_amount == usd(100) for one in answers) == 1


async def commands_of(mesh: AuthzMesh, card: str) -> list[str]:
    """What the script asks of Valkey to approve one purchase: command and kind of key."""
    found: list[str] = []
    async with mesh.money.monitor() as monitor:
        await approved(mesh, card, 1)
        await mesh.money.echo("enough")
        while True:
            seen = await monitor.next_command()
            if seen["command"] == "ECHO enough":
                return found
            if seen["client_type"] == "lua":
                name, key = seen["command"].split()[:2]
                found.append(f"{name} {key.split(':')[1]}")


async def test_rules_cost_nothing_and_card_testing_one_read(mesh: AuthzMesh) -> None:
    """Goal: the way of every purchase stays short. Method: Valkey says what the script asked."""
    off = rules_pb.FraudChecks(card_testing=rules_pb.CardTestingCheck(disabled=True))
    account = await company_account(mesh)
    card = mesh.ids.new("card", 10)
    await mesh.apply_card(card, account, user_id=USER)
    plain = await commands_of(mesh, card)
    assert [one for one in plain if one.startswith("HMGET")] == [
        "HMGET meta",
        "HMGET acct",
        "HMGET recent",
    ]
    maximum = SpendControls(transaction_maximum=usd(100))
    rules = rules_pb.DefaultRules(card_controls=maximum, account_controls=maximum)
    await mesh.apply_account_user(account, USER, controls=maximum)
    await mesh.apply_rules(COMPANY, rules)
    rules.fraud_checks.CopyFrom(off)
    await mesh.apply_rules(PROGRAMME, rules)
    await approved(mesh, card, 1)
    plain.remove("HMGET recent")
    assert sorted(await commands_of(mesh, card)) == sorted(plain)
