"""Spend controls over the wire: what they refuse, what counts, what is given back, and when."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import movement_pb2 as movements
from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.authz.v1.decline_reason_pb2 import DeclineReason
from holdfast.type.v1.spend_controls_pb2 import (
    CHANNEL_CASH,
    CHANNEL_MANUAL,
    ActiveHours,
    CalendarWindow,
    SpendControls,
    SpendLimit,
)
from tests.authz_checks import (
    approved,
    by_network,
    fetched,
    network_purchase,
    nothing_written,
    refused,
    usd,
)
from tests.authz_mesh import ACCOUNTS, ADMIN, NETWORK, AuthzMesh, capture_of, purchase, reversal_of
from tests.authz_messages import advice, forced

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def daily(minor: int | None = 1_000, *, count: int = 0, name: str = "daily", **more: Any) -> Any:
    """A limit per day; `timezone`, `rolling_s`, `unit` and `categories` make it another one."""
    limit = SpendLimit(control_id=name, count=count, categories=more.get("categories", ()))
    if minor is not None:
        limit.amount.CopyFrom(usd(minor))
    if "rolling_s" in more:
        limit.rolling.FromSeconds(more["rolling_s"])
    else:
        unit = more.get("unit", CalendarWindow.UNIT_DAY)
        limit.calendar.CopyFrom(CalendarWindow(unit=unit, timezone=more.get("timezone", "")))
    limit.counting_since.FromMilliseconds(1)
    return limit


async def limited(mesh: AuthzMesh, *limits: SpendLimit, credit: int = 100_000, **more: Any) -> str:
    """A card with these limits; other controls by name."""
    account = await mesh.open_account(credit)
    card: str = mesh.ids.new("card", 10)
    await mesh.apply_card(card, account, controls=SpendControls(limits=limits, **more))
    return card


async def spend(mesh: AuthzMesh, card: str, minor: int, **more: Any) -> rpc.AuthorizeResponse:
    request = purchase(card, minor)
    for name, value in more.items():
        setattr(request.merchant, name, value)
    answer: rpc.AuthorizeResponse = await mesh.authorization.Authorize(request, metadata=NETWORK)
    return answer


def refusal(answer: Any) -> tuple[str, str]:
    name = DeclineReason.Name(answer.decline_reason).removeprefix("DECLINE_REASON_")
    return name, answer.control.control_id


async def left(mesh: AuthzMesh, card: str) -> int:
    """What the daily limit still allows: a purchase that is too large is told."""
    answer = await spend(mesh, card, 90_000)
    assert refusal(answer) == ("SPEND_LIMIT_EXCEEDED", "card/daily")
    found: int = answer.control.left_amount.amount_minor
    return found


async def test_a_limit_is_spent_to_the_cent_and_says_what_is_left(mesh: AuthzMesh) -> None:
    card = await limited(mesh, daily(1_000))
    await approved(mesh, card, 600)
    answer = await spend(mesh, card, 401)
    assert refusal(answer) == ("SPEND_LIMIT_EXCEEDED", "card/daily")
    assert answer.response_code == "61"
    assert answer.control.left_amount == usd(400)
    assert not answer.control.HasField("left_count")
    found = await fetched(mesh, answer.authorization_id)
    assert found.control == answer.control
    await approved(mesh, card, 400)
    assert await left(mesh, card) == 0
    await mesh.settle()
    assert (await fetched(mesh, answer.authorization_id)).control == answer.control


async def test_a_repeated_refusal_is_the_same_answer(mesh: AuthzMesh) -> None:
    card = await limited(mesh, daily(100))
    request = purchase(card, 101)
    first = await mesh.authorization.Authorize(request, metadata=NETWORK)
    assert await mesh.authorization.Authorize(request, metadata=NETWORK) == first


async def test_a_count_is_used_up(mesh: AuthzMesh) -> None:
    card = await limited(mesh, daily(None, count=2))
    for _ in range(2):
        await approved(mesh, card, 100)
    await approved(mesh, card, 0)
    answer = await spend(mesh, card, 100)
    assert refusal(answer) == ("VELOCITY_COUNT_EXCEEDED", "card/daily")
    assert answer.response_code == "65"
    assert answer.control.left_count == 0
    assert answer.control.HasField("left_count")


@pytest.mark.parametrize(
    ("controls", "merchant", "reason", "control"),
    [
        ({"transaction_maximum": usd(99)}, {}, "PER_TRANSACTION_LIMIT", "transaction_maximum"),
        ({"blocked_categories": ["5400-5499"]}, {}, "MCC_NOT_ALLOWED", "categories"),
        ({"allowed_categories": ["5999"]}, {}, "MCC_NOT_ALLOWED", "categories"),
        ({"blocked_countries": ["US"]}, {}, "COUNTRY_NOT_ALLOWED", "countries"),
        ({"allowed_merchants": ["other"]}, {}, "MERCHANT_NOT_ALLOWED", "merchants"),
        ({"blocked_merchants": ["CORNER SHOP"]}, {}, "MERCHANT_NOT_ALLOWED", "merchants"),
        (
            {"blocked_channels": [CHANNEL_MANUAL, CHANNEL_CASH]},
            {"category_code": "6011"},
            "CHANNEL_NOT_ALLOWED",
            "blocked_channels",
        ),
        (
            {"active_hours": [ActiveHours(start="00:00", end="00:01", weekdays=[1])]},
            {},
            "OUTSIDE_ACTIVE_HOURS",
            "active_hours",
        ),
    ],
)
async def test_each_control_declines_by_name(
    mesh: AuthzMesh, controls: dict[str, Any], merchant: dict[str, Any], reason: str, control: str
) -> None:
    card = await limited(mesh, **controls)
    assert refusal(await spend(mesh, card, 100, **merchant)) == (reason, f"card/{control}")


async def test_an_address_must_match_only_if_a_control_says_so(mesh: AuthzMesh) -> None:
    for required in (False, True):
        request = purchase(await limited(mesh, address_match_required=required), 100)
        request.verification.postal_code = pb.CHECK_RESULT_MISMATCH
        answer = await mesh.authorization.Authorize(request, metadata=NETWORK)
        assert (refusal(answer)[0] == "AVS_MISMATCH") is required


async def test_the_account_s_limit_holds_for_all_its_cards_and_the_strictest_wins(
    mesh: AuthzMesh,
) -> None:
    account = await mesh.open_account()
    await mesh.apply_account(account, version=2, controls=SpendControls(limits=[daily(500)]))
    first, second = await mesh.issue_card(account), mesh.ids.new("card", 10)
    await mesh.apply_card(second, account, controls=SpendControls(limits=[daily(300)]))
    await approved(mesh, first, 300)
    answer = await spend(mesh, second, 250)
    assert refusal(answer) == ("SPEND_LIMIT_EXCEEDED", "account/daily")
    assert answer.control.left_amount == usd(200)
    await approved(mesh, second, 150)
    answer = await spend(mesh, second, 151)
    assert (refusal(answer)[1], answer.control.left_amount) == ("account/daily", usd(50))


async def test_fifty_at_once_spend_exactly_the_limit(mesh: AuthzMesh) -> None:
    card = await limited(mesh, daily(1_000, count=0), daily(None, count=12, name="often"))
    answers = await asyncio.gather(*(spend(mesh, card, 100) for _ in range(50)))
    assert sum(a.approved_amount.amount_minor for a in answers) == 1_000
    declined = [a for a in answers if a.decision == pb.DECISION_DECLINED]
    assert {refusal(a) for a in declined} == {("SPEND_LIMIT_EXCEEDED", "card/daily")}
    assert {a.control.left_amount.amount_minor for a in declined} == {0}


async def test_a_partial_approval_is_what_the_limit_leaves(mesh: AuthzMesh) -> None:
    card = await limited(mesh, daily(1_000), credit=5_000)
    request = purchase(card, 1_500)
    request.point_of_sale.partial_approval_capable = True
    answer = await mesh.authorization.Authorize(request, metadata=NETWORK)
    assert answer.approved_amount == usd(1_000)
    request.request_id = "again"
    answer = await mesh.authorization.Authorize(request, metadata=NETWORK)
    assert refusal(answer) == ("SPEND_LIMIT_EXCEEDED", "card/daily")


async def test_a_limit_of_categories_counts_only_them(mesh: AuthzMesh) -> None:
    card = await limited(mesh, daily(1_000, categories=["5812-5814"]))
    await approved(mesh, card, 5_000)
    assert (await spend(mesh, card, 1_000, category_code="5813")).decision == pb.DECISION_APPROVED
    answer = await spend(mesh, card, 1, category_code="5814")
    assert refusal(answer) == ("SPEND_LIMIT_EXCEEDED", "card/daily")


async def test_what_is_reversed_or_expires_is_given_back(mesh: AuthzMesh) -> None:
    card = await limited(mesh, daily(1_000, count=3))
    first, second = await approved(mesh, card, 400), await approved(mesh, card, 600)
    await mesh.authorization.ReverseAuthorization(reversal_of(first, 100), metadata=NETWORK)
    assert await left(mesh, card) == 100
    await mesh.authorization.ReverseAuthorization(reversal_of(first), metadata=NETWORK)
    assert await left(mesh, card) == 400
    expire = movements.ExpireAuthorizationRequest(request_id="e", authorization_id=second)
    await mesh.authorization.ExpireAuthorization(expire, metadata=ADMIN)
    assert await left(mesh, card) == 1_000
    # The count is given back, too: three are possible again.
    for _ in range(3):
        await approved(mesh, card, 1)


async def test_captures_count_what_they_post(mesh: AuthzMesh) -> None:
    """A final capture of less gives back; one of more counts, and is never refused."""
    card = await limited(mesh, daily(1_000))
    less, more = await approved(mesh, card, 400), await approved(mesh, card, 600)
    await mesh.authorization.CaptureAuthorization(
        capture_of(less, 300, final=True), metadata=NETWORK
    )
    assert await left(mesh, card) == 100
    await mesh.authorization.CaptureAuthorization(capture_of(more, 650), metadata=NETWORK)
    assert await left(mesh, card) == 50
    await mesh.authorization.CaptureAuthorization(capture_of(more, 350), metadata=NETWORK)
    assert await left(mesh, card) == 0
    await mesh.authorization.Refund(
        movements.RefundRequest(request_id="r", authorization_id=more, amount=usd(500)),
        metadata=NETWORK,
    )
    assert await left(mesh, card) == 0


async def test_a_capture_after_the_reversal_counts_where_it_counted_before(
    mesh: AuthzMesh,
) -> None:
    card = await limited(mesh, daily(1_000, count=2))
    first = await approved(mesh, card, 400)
    await mesh.authorization.ReverseAuthorization(reversal_of(first), metadata=NETWORK)
    await mesh.authorization.CaptureAuthorization(capture_of(first, 300), metadata=NETWORK)
    assert await left(mesh, card) == 700
    await approved(mesh, card, 1)
    assert refusal(await spend(mesh, card, 1))[0] == "VELOCITY_COUNT_EXCEEDED"


async def test_force_posts_and_advice_count_and_are_never_refused(mesh: AuthzMesh) -> None:
    card = await limited(mesh, daily(1_000), transaction_maximum=usd(95_000))
    await mesh.authorization.ForcePost(
        movements.ForcePostRequest(
            request_id="f",
            card_id=card,
            amount=usd(700),
            merchant=pb.Merchant(descriptor="Airline"),
        ),
        metadata=NETWORK,
    )
    assert await left(mesh, card) == 300
    answer = await mesh.authorization.Authorize(advice(card, 800), metadata=NETWORK)
    assert answer.decision == pb.DECISION_APPROVED
    assert await left(mesh, card) == 0


@pytest.mark.parametrize("kind", ["force post", "advice", "clearing"])
async def test_what_cannot_be_refused_counts_in_the_limits_of_now(
    mesh: AuthzMesh, kind: str
) -> None:
    """Also if the worker still remembers the card and its account as they were before."""
    account, card = await mesh.open_account(), mesh.ids.new("card", 10)
    await mesh.apply_card(card, account)
    await approved(mesh, card, 1)
    await mesh.apply_account(account, version=2, controls=SpendControls(limits=[daily(1_000)]))
    if kind == "force post":
        await mesh.authorization.ForcePost(forced(card, 700), metadata=NETWORK)
    elif kind == "advice":
        await mesh.authorization.Authorize(advice(card, 700), metadata=NETWORK)
    else:
        capture = by_network(capture_of("", 700), card, "t1")
        await mesh.authorization.CaptureAuthorization(capture, metadata=NETWORK)
    answer = await spend(mesh, card, 90_000)
    assert answer.control.left_amount == usd(300)


async def test_a_clearing_before_its_purchase_counts_once(mesh: AuthzMesh) -> None:
    card = await limited(mesh, daily(1_000, count=2))
    capture = by_network(capture_of("", 400), card, "t1")
    await mesh.authorization.CaptureAuthorization(capture, metadata=NETWORK)
    assert await left(mesh, card) == 600
    answer = await mesh.authorization.Authorize(network_purchase(card, 500, "t1"), metadata=NETWORK)
    assert answer.decision == pb.DECISION_APPROVED
    assert await left(mesh, card) == 500
    await approved(mesh, card, 1)
    assert refusal(await spend(mesh, card, 1))[0] == "VELOCITY_COUNT_EXCEEDED"


async def test_increments_are_checked_and_count_in_the_day_they_come(mesh: AuthzMesh) -> None:
    card = await limited(mesh, daily(1_000), transaction_maximum=usd(95_000))
    name = await approved(mesh, card, 800)

    async def increment(minor: int) -> movements.IncrementAuthorizationResponse:
        answer: movements.IncrementAuthorizationResponse = (
            await mesh.authorization.IncrementAuthorization(
                movements.IncrementAuthorizationRequest(
                    request_id=f"i-{minor}-{mesh.clock.now_ms()}",
                    authorization_id=name,
                    amount=usd(minor),
                ),
                metadata=NETWORK,
            )
        )
        return answer

    answer = await increment(201)
    assert refusal(answer) == ("SPEND_LIMIT_EXCEEDED", "card/daily")
    assert answer.control.left_amount == usd(200)
    mesh.clock.advance(DAY_MS)
    assert (await increment(900)).decision == pb.DECISION_APPROVED
    assert await left(mesh, card) == 100
    # What is given back comes from the newest first, and yesterday's does not come to today.
    await mesh.authorization.ReverseAuthorization(reversal_of(name, 300), metadata=NETWORK)
    assert await left(mesh, card) == 400
    await mesh.authorization.ReverseAuthorization(reversal_of(name), metadata=NETWORK)
    assert await left(mesh, card) == 1_000


async def test_increments_do_not_exceed_the_maximum_of_a_purchase(mesh: AuthzMesh) -> None:
    card = await limited(mesh, transaction_maximum=usd(500))
    request = movements.IncrementAuthorizationRequest(
        request_id="i", authorization_id=await approved(mesh, card, 400), amount=usd(101)
    )
    answer = await mesh.authorization.IncrementAuthorization(request, metadata=NETWORK)
    assert refusal(answer) == ("PER_TRANSACTION_LIMIT", "card/transaction_maximum")
    assert answer.control.left_amount == usd(500)
    request.request_id, request.amount.amount_minor = "i2", 100
    answer = await mesh.authorization.IncrementAuthorization(request, metadata=NETWORK)
    assert answer.decision == pb.DECISION_APPROVED


async def test_a_day_of_the_control_s_timezone_has_as_many_hours_as_it_has(
    mesh: AuthzMesh,
) -> None:
    """The day on which clocks go forward ends after 23 hours."""
    card = await limited(mesh, daily(1_000, timezone="Europe/Madrid"))
    midnight = datetime(2028, 3, 26, tzinfo=ZoneInfo("Europe/Madrid"))
    mesh.clock.advance(int(midnight.timestamp()) * 1000 - mesh.clock.now_ms())
    await approved(mesh, card, 1_000)
    mesh.clock.advance(23 * HOUR_MS - 1)
    assert await left(mesh, card) == 0
    mesh.clock.advance(1)
    await approved(mesh, card, 1_000)


async def test_a_rolling_window_looks_back_and_never_overspends(mesh: AuthzMesh) -> None:
    card = await limited(mesh, daily(1_000, rolling_s=24 * 3600))
    spent: list[tuple[int, int]] = []
    for _ in range(60):
        mesh.clock.advance(HOUR_MS)
        now_ms = mesh.clock.now_ms()
        answer = await spend(mesh, card, 130)
        if answer.decision == pb.DECISION_APPROVED:
            spent.append((now_ms, 130))
        assert sum(minor for at, minor in spent if at > now_ms - DAY_MS) <= 1_000
    assert len(spent) > 14
    key = next(iter([key async for key in mesh.money.scan_iter(match="*:win:*")]))
    assert await mesh.money.hlen(key) <= 62


async def test_a_replacement_shares_what_was_spent_and_a_changed_limit_starts_anew(
    mesh: AuthzMesh,
) -> None:
    account = await mesh.open_account()
    old, new = mesh.ids.new("card", 10), mesh.ids.new("card", 10)
    controls = SpendControls(limits=[daily(1_000)])
    await mesh.apply_card(old, account, controls=controls)
    await approved(mesh, old, 900)
    await mesh.apply_card(new, account, root_card_id=old, controls=controls)
    assert await left(mesh, new) == 100
    controls.limits[0].counting_since.FromMilliseconds(2)
    await mesh.apply_card(new, account, root_card_id=old, version=2, controls=controls)
    assert await left(mesh, new) == 1_000


async def test_a_card_is_locked_to_the_merchant_that_used_it_first(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card, replacement = mesh.ids.new("card", 10), mesh.ids.new("card", 10)
    controls = SpendControls(merchant_lock=True)
    await mesh.apply_card(card, account, controls=controls)
    await mesh.apply_card(replacement, account, root_card_id=card, controls=controls)
    assert refusal(await spend(mesh, card, 200_000, id="m-2"))[0] == "INSUFFICIENT_CREDIT"
    answers = await asyncio.gather(
        *(spend(mesh, card, 10, id=f"m-{n}", descriptor=f"Shop {n}") for n in range(8))
    )
    (first,) = [a for a in answers if a.decision == pb.DECISION_APPROVED]
    merchant = (await fetched(mesh, first.authorization_id)).merchant
    declined = [a for a in answers if a.decision == pb.DECISION_DECLINED]
    assert {refusal(a) for a in declined} == {("MERCHANT_NOT_ALLOWED", "card/merchant_lock")}
    for more in ({"id": merchant.id}, {"descriptor": merchant.descriptor.upper()}):
        answer = await spend(mesh, replacement, 10, **({"descriptor": "x", "id": "y"} | more))
        assert answer.decision == pb.DECISION_APPROVED
    assert (await spend(mesh, card, 10, id="y", descriptor="x")).decision == pb.DECISION_DECLINED


async def test_a_card_without_controls_has_no_keys_of_them(mesh: AuthzMesh) -> None:
    await approved(mesh, await mesh.card(), 100)
    assert [key async for key in mesh.money.scan_iter(match="*:win:*")] == []


async def test_a_slot_that_has_gone_is_not_made_anew(mesh: AuthzMesh) -> None:
    card = await limited(mesh, daily(1_000))
    name = await approved(mesh, card, 400)
    (key,) = [key async for key in mesh.money.scan_iter(match="*:win:*")]
    assert await mesh.money.pttl(key) > 0
    await mesh.money.delete(key)
    await mesh.authorization.ReverseAuthorization(reversal_of(name), metadata=NETWORK)
    assert not await mesh.money.exists(key)


async def test_malformed_controls_are_named(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    bad = SpendControls(limits=[SpendLimit(control_id="A")], allowed_countries=["USA"])
    card = mesh.ids.new("card", 10)
    request = projection.ApplyCardRequest(
        version=1,
        card_id=card,
        account_id=account,
        root_card_id=card,
        state=projection.CARD_STATE_ACTIVE,
        expiry_month=1,
        expiry_year=2090,
        controls=bad,
    )
    async with nothing_written(mesh.money):
        found = await refused(mesh.projection.ApplyCard, request, metadata=ACCOUNTS)
    assert found.fields == [
        "controls.limits[0].control_id",
        "controls.limits[0].amount",
        "controls.limits[0].calendar",
        "controls.allowed_countries[0]",
    ]
