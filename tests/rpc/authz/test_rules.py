"""ApplyRules and ApplyAccountUser: rules of programme and company, controls of users of an account.
All of them and those of card and account apply together; every card and account counts for itself.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from authz import keys
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import ledger_pb2
from holdfast.authz.v1 import ledger_service_pb2 as ledgers
from holdfast.authz.v1 import movement_pb2 as movements
from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.authz.v1 import spend_usage_pb2 as usages
from holdfast.type.v1.default_rules_pb2 import DefaultRules
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from tests.authz_checks import approved, dump, nothing_written, refused, usd
from tests.authz_mesh import ACCOUNTS, ADMIN, NETWORK, AuthzMesh, purchase, reversal_of
from tests.rpc.authz.test_spend_limits import daily, refusal, spend

COMPANY = "co_0a" + "1" * 32
#: Of another partition than the account: a user of a company may have accounts elsewhere.
USER, OTHER_USER = "usr_0b" + "2" * 32, "usr_0c" + "2" * 32
PROGRAMME = "prog_gold"
#: Less than any purchase of these tests.
NOTHING = SpendControls(transaction_maximum=usd(1))


async def company_account(mesh: AuthzMesh, **changes: Any) -> str:
    account: str = mesh.ids.new("acct", 10)
    fields = {"owner_id": COMPANY, "programme_id": PROGRAMME} | changes
    await mesh.apply_account(account, **fields)
    return account


async def user_card(mesh: AuthzMesh, account: str, user_id: str = USER, **changes: Any) -> str:
    card: str = mesh.ids.new("card", int(account[5:7], 16))
    await mesh.apply_card(card, account, user_id=user_id, **changes)
    return card


async def left(mesh: AuthzMesh, card: str) -> dict[str, int]:
    """What is left of each limit, by the name that a refusal gives it."""
    request = usages.GetSpendUsageRequest(card_id=card)
    answer = await mesh.authorization.GetSpendUsage(request, metadata=ADMIN)
    return {limit.control_id: limit.left_amount.amount_minor for limit in answer.limits}


#: In the order in which usage lists them.
SCOPES = (
    "card",
    "account",
    "user",
    "programme/card",
    "programme/account",
    "company/card",
    "company/account",
)


def closed_by(scope: str) -> tuple[str, str]:
    """What purchases are declined with after `close_off`."""
    return "PER_TRANSACTION_LIMIT", f"{scope}/transaction_maximum"


async def close_off(mesh: AuthzMesh, scope: str, account: str, card: str) -> None:
    """A change of one part of what a decision is made on, after which nothing is approved."""
    if scope == "card":
        await mesh.apply_card(card, account, version=2, user_id=USER, controls=NOTHING)
    elif scope == "account":
        fields: dict[str, Any] = {"owner_id": COMPANY, "programme_id": PROGRAMME}
        await mesh.apply_account(account, version=2, controls=NOTHING, **fields)
    elif scope == "user":
        await mesh.apply_account_user(account, USER, controls=NOTHING)
    else:
        whose, _, part = scope.partition("/")
        scope_id = {"programme": PROGRAMME, "company": COMPANY}[whose]
        controls: dict[str, Any] = {f"{part}_controls": NOTHING}
        await mesh.apply_rules(scope_id, DefaultRules(**controls))


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_decision_on_old_rules_is_made_again(mesh: AuthzMesh, scope: str) -> None:
    """Goal: each version of the vector fences. Method: the change comes between look and script."""
    account = await company_account(mesh)
    card = await user_card(mesh, account)
    held = await approved(mesh, card, 10)
    read, seen = mesh.worker.store.snapshot, list[object]()

    async def late(card_id: str) -> Any:
        found = await read(card_id)
        seen.append(found)
        if len(seen) == 1:
            await close_off(mesh, scope, account, card)
        return found

    mesh.worker.store.snapshot = late  # type: ignore[method-assign]
    assert refusal(await spend(mesh, card, 10)) == closed_by(scope)
    assert len(seen) == 2
    await mesh.authorization.ReverseAuthorization(reversal_of(held), metadata=NETWORK)


@pytest.mark.parametrize("scope", SCOPES)
async def test_increments_are_fenced_too(mesh: AuthzMesh, scope: str) -> None:
    """An increment in flight is decided again on what is there now."""
    account = await company_account(mesh)
    card = await user_card(mesh, account)
    held = await approved(mesh, card, 10)
    read, seen = mesh.worker.store.snapshot, list[object]()

    async def late(card_id: str) -> Any:
        found = await read(card_id)
        seen.append(found)
        if len(seen) == 1:
            await close_off(mesh, scope, account, card)
        return found

    mesh.worker.store.snapshot = late  # type: ignore[method-assign]
    request = movements.IncrementAuthorizationRequest(
        request_id="i", authorization_id=held, amount=usd(5)
    )
    answer = await mesh.authorization.IncrementAuthorization(request, metadata=NETWORK)
    assert refusal(answer) == closed_by(scope)
    assert len(seen) == 2


@pytest.mark.parametrize("scope", SCOPES)
async def test_no_purchase_passes_after_a_change_was_answered(mesh: AuthzMesh, scope: str) -> None:
    """The change races with purchases: what is sent after its answer is declined."""
    account = await company_account(mesh)
    card = await user_card(mesh, account)
    before = [asyncio.ensure_future(spend(mesh, card, 2)) for _ in range(30)]
    await close_off(mesh, scope, account, card)
    after = await asyncio.gather(*(spend(mesh, card, 2) for _ in range(30)))
    await asyncio.gather(*before)
    assert {refusal(one) for one in after} == {closed_by(scope)}


async def test_the_strictest_wins_whosever_it_is(mesh: AuthzMesh) -> None:
    """Each limit in turn is the tightest; the others count all the same."""
    for tightest in range(len(SCOPES)):
        limits = [
            SpendControls(limits=[daily(1_000 if number == tightest else 2_000)])
            for number in range(len(SCOPES))
        ]
        version = tightest + 1
        account = await company_account(mesh, controls=limits[1])
        card = await user_card(mesh, account, controls=limits[0])
        await mesh.apply_account_user(account, USER, controls=limits[2])
        for scope_id, of_card, of_account in ((PROGRAMME, 3, 4), (COMPANY, 5, 6)):
            rules = DefaultRules(card_controls=limits[of_card], account_controls=limits[of_account])
            assert await mesh.apply_rules(scope_id, rules, version=version) == version
        await approved(mesh, card, 600)
        answer = await spend(mesh, card, 401)
        assert refusal(answer) == ("SPEND_LIMIT_EXCEEDED", f"{SCOPES[tightest]}/daily")
        assert answer.control.left_amount == usd(400)
        found = await left(mesh, card)
        assert list(found) == [f"{scope}/daily" for scope in SCOPES]
        assert sorted(found.values()) == [400] + [1_400] * 6


async def test_each_card_and_each_account_counts_for_itself(mesh: AuthzMesh) -> None:
    """One rule, no shared counter: two cards, two accounts, two partitions."""
    rules = DefaultRules(
        card_controls=SpendControls(limits=[daily(1_000)]),
        account_controls=SpendControls(limits=[daily(1_500)]),
    )
    await mesh.apply_rules(PROGRAMME, rules)
    first = await company_account(mesh)
    one, two = await user_card(mesh, first), await user_card(mesh, first)
    await approved(mesh, one, 1_000)
    assert refusal(await spend(mesh, one, 1)) == ("SPEND_LIMIT_EXCEEDED", "programme/card/daily")
    await approved(mesh, two, 500)
    assert refusal(await spend(mesh, two, 1)) == ("SPEND_LIMIT_EXCEEDED", "programme/account/daily")
    second = await company_account(mesh)
    await approved(mesh, await user_card(mesh, second), 1_000)
    elsewhere = mesh.ids.new("acct", 63)
    await mesh.apply_account(elsewhere, programme_id=PROGRAMME)
    card = await user_card(mesh, elsewhere)
    await approved(mesh, card, 1_000)
    assert refusal(await spend(mesh, card, 1))[1] == "programme/card/daily"
    other = await mesh.card()
    await approved(mesh, other, 2_000)


async def test_a_replacement_keeps_what_was_counted(mesh: AuthzMesh) -> None:
    await mesh.apply_rules(
        PROGRAMME, DefaultRules(card_controls=SpendControls(limits=[daily(1_000)]))
    )
    account = await company_account(mesh)
    old = await user_card(mesh, account)
    await approved(mesh, old, 900)
    new = await user_card(mesh, account, root_card_id=old)
    assert await left(mesh, new) == {"programme/card/daily": 100}
    assert refusal(await spend(mesh, new, 101))[1] == "programme/card/daily"


async def test_users_of_one_account_count_for_themselves(mesh: AuthzMesh) -> None:
    """All cards of a user on the account share the count; another user, or account, has its own."""
    account, other = await company_account(mesh), await company_account(mesh)
    for where in (account, other):
        await mesh.apply_account_user(where, USER, controls=SpendControls(limits=[daily(1_000)]))
    await mesh.apply_account_user(account, OTHER_USER, controls=SpendControls(limits=[daily(300)]))
    one, two = await user_card(mesh, account), await user_card(mesh, account)
    await approved(mesh, one, 600)
    answer = await spend(mesh, two, 401)
    assert refusal(answer) == ("SPEND_LIMIT_EXCEEDED", "user/daily")
    assert answer.control.left_amount == usd(400)
    await approved(mesh, await user_card(mesh, account, OTHER_USER), 300)
    await approved(mesh, await user_card(mesh, other), 1_000)
    await approved(mesh, await user_card(mesh, account, ""), 5_000)


async def test_a_card_that_changes_hands_obeys_its_new_user(mesh: AuthzMesh) -> None:
    account = await company_account(mesh)
    await mesh.apply_account_user(account, USER, controls=NOTHING)
    card = await user_card(mesh, account)
    assert refusal(await spend(mesh, card, 2))[1] == "user/transaction_maximum"
    await mesh.apply_card(card, account, version=2, user_id=OTHER_USER)
    await approved(mesh, card, 2)


async def test_an_amount_binds_accounts_of_its_currency_only(mesh: AuthzMesh) -> None:
    controls = SpendControls(transaction_maximum=usd(100), limits=[daily(50, count=2)])
    await mesh.apply_rules(PROGRAMME, DefaultRules(card_controls=controls))
    account = await company_account(mesh, currency="EUR")
    card = await user_card(mesh, account)
    request = purchase(card, 5_000)
    request.amount.currency_code = "EUR"
    for number in range(3):
        request.request_id = f"eur-{number}"
        answer = await mesh.authorization.Authorize(request, metadata=NETWORK)
    assert refusal(answer) == ("VELOCITY_COUNT_EXCEEDED", "programme/card/daily")
    dollars = await user_card(mesh, await company_account(mesh))
    assert refusal(await spend(mesh, dollars, 101))[1] == "programme/card/transaction_maximum"
    assert refusal(await spend(mesh, dollars, 51))[1] == "programme/card/daily"


async def test_a_programme_s_lock_binds_each_card_to_its_own_merchant(mesh: AuthzMesh) -> None:
    rules = DefaultRules(card_controls=SpendControls(merchant_lock=True))
    await mesh.apply_rules(PROGRAMME, rules)
    account = await company_account(mesh)
    for number in range(2):
        card = await user_card(mesh, account)
        answer = await spend(mesh, card, 1, id=f"m-{number}", descriptor=f"Shop {number}")
        assert answer.decision == pb.DECISION_APPROVED
        answer = await spend(mesh, card, 1, id="m-9", descriptor="Shop 9")
        assert refusal(answer) == ("MERCHANT_NOT_ALLOWED", "programme/card/merchant_lock")


async def test_same_and_lower_versions_change_nothing(mesh: AuthzMesh) -> None:
    account = await company_account(mesh)
    card = await user_card(mesh, account)
    assert await mesh.apply_rules(PROGRAMME, None, version=5) == 5
    assert await mesh.apply_rules(COMPANY, None, version=4) == 4
    assert await mesh.apply_account_user(account, USER, version=3, controls=None) == 3
    async with nothing_written(mesh.money):
        for version in (1, 3):
            late = DefaultRules(card_controls=NOTHING)
            assert await mesh.apply_rules(PROGRAMME, late, version=version) == 5
            assert await mesh.apply_rules(COMPANY, late, version=version) == 4
            found = await mesh.apply_account_user(account, USER, version=version, controls=NOTHING)
            assert found == 3
    await approved(mesh, card, 2)


async def test_rules_reach_every_partition_and_a_repetition_completes_them(mesh: AuthzMesh) -> None:
    """Half of a programme's partitions lost theirs: they get them, the others write nothing."""
    rules = DefaultRules(card_controls=NOTHING)
    await mesh.apply_rules(PROGRAMME, rules, version=2)
    complete = await dump(mesh.money)
    for tag in keys.TAGS:
        assert await mesh.money.hget(keys.meta(tag), keys.rules_version(PROGRAMME)) == b"2"
    for tag in keys.TAGS[::2]:
        await mesh.money.hdel(keys.meta(tag), keys.rules_version(PROGRAMME))
        await mesh.money.delete(keys.rules(tag, PROGRAMME))
    assert await mesh.apply_rules(PROGRAMME, rules, version=2) == 2
    after = await dump(mesh.money)
    assert after.keys() == complete.keys()
    written = {key for key in after if after[key] != complete[key]}
    assert {key[1:3].decode() for key in written} == set(keys.TAGS[::2])


async def test_a_company_s_rules_stay_in_its_partition(mesh: AuthzMesh) -> None:
    before = await dump(mesh.money)
    await mesh.apply_rules(COMPANY, DefaultRules(card_controls=NOTHING))
    after = await dump(mesh.money)
    assert {key[1:3] for key in after if after[key] != before.get(key)} == {b"0a"}


async def test_entries_say_whose_they_are(mesh: AuthzMesh) -> None:
    """The ledger has the company, the card's user and the programme; rules belong to no account."""
    account = await company_account(mesh)
    card = await user_card(mesh, account)
    await mesh.apply_account_user(account, USER, controls=NOTHING)
    await mesh.apply_rules(COMPANY, DefaultRules(card_controls=NOTHING))
    await spend(mesh, card, 2)
    await mesh.settle()
    rows = await mesh.ledger.fetch(
        "SELECT type, seq, account_id, company_id, user_id, programme_id, control"
        " FROM journal_entry WHERE partition = 10 ORDER BY pseq"
    )
    assert [tuple(row) for row in rows] == [
        ("L", 1, account, COMPANY, None, PROGRAMME, ""),
        ("K", 2, account, COMPANY, USER, PROGRAMME, ""),
        ("U", 3, account, COMPANY, USER, PROGRAMME, ""),
        ("S", 0, None, COMPANY, None, None, ""),
        ("D", 4, account, COMPANY, USER, PROGRAMME, "user/transaction_maximum"),
    ]
    request = ledgers.ListEntriesRequest(account_id=account)
    answer = await mesh.ledger_service.ListEntries(request, metadata=ADMIN)
    types = [entry.type for entry in answer.entries]
    assert ledger_pb2.Entry.TYPE_ACCOUNT_USER_APPLIED in types


async def test_a_user_before_the_account_is_refused(mesh: AuthzMesh) -> None:
    request = projection.ApplyAccountUserRequest(
        version=1, account_id="acct_0a" + "0" * 32, user_id=USER
    )
    async with nothing_written(mesh.money):
        error = await refused(mesh.projection.ApplyAccountUser, request, metadata=ACCOUNTS)
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "ACCOUNT_NOT_APPLIED")


async def test_wrong_fields_are_named_and_nothing_is_written(mesh: AuthzMesh) -> None:
    lock = SpendControls(merchant_lock=True)
    user = projection.ApplyAccountUserRequest(account_id="x", user_id=COMPANY, controls=lock)
    rules = projection.ApplyRulesRequest(company_id=USER, rules=DefaultRules(account_controls=lock))
    async with nothing_written(mesh.money):
        error = await refused(mesh.projection.ApplyAccountUser, user, metadata=ACCOUNTS)
        assert error.fields == ["version", "account_id", "user_id", "controls.merchant_lock"]
        error = await refused(mesh.projection.ApplyRules, rules, metadata=ACCOUNTS)
        assert error.fields == ["version", "company_id", "rules.account_controls.merchant_lock"]
        error = await refused(
            mesh.projection.ApplyRules, projection.ApplyRulesRequest(version=1), metadata=ACCOUNTS
        )
        assert error.fields == ["programme_id"]
