"""GetSpendUsage: what a refusal says, without one."""

from __future__ import annotations

from typing import Any

import grpc

from holdfast.authz.v1 import spend_usage_pb2 as pb
from holdfast.type.v1.spend_controls_pb2 import CalendarWindow, SpendControls
from tests.authz_checks import UNKNOWN_CARD, approved, nothing_written, refused, usd
from tests.authz_mesh import ADMIN, AuthzMesh, reversal_of
from tests.rpc.authz.test_spend_limits import DAY_MS, HOUR_MS, daily, limited


async def usage(mesh: AuthzMesh, card: str) -> Any:
    answer = await mesh.authorization.GetSpendUsage(
        pb.GetSpendUsageRequest(card_id=card), metadata=ADMIN
    )
    assert answer.card_id == card
    return answer.limits


async def test_limits_of_card_and_account_with_what_is_left(mesh: AuthzMesh) -> None:
    account, card = await mesh.open_account(), mesh.ids.new("card", 10)
    await mesh.apply_account(
        account,
        version=2,
        controls=SpendControls(
            limits=[daily(None, count=5, name="life", unit=CalendarWindow.UNIT_LIFETIME)]
        ),
    )
    await mesh.apply_card(card, account, controls=SpendControls(limits=[daily(1_000)]))
    await approved(mesh, card, 300)
    async with nothing_written(mesh.money):
        day, life = await usage(mesh, card)
    assert day.control_id == "card/daily"
    assert (day.limit_amount, day.used_amount, day.left_amount) == (usd(1_000), usd(300), usd(700))
    assert day.used_count == 1
    assert not day.HasField("limit_count")
    midnight = mesh.clock.now_ms() // DAY_MS * DAY_MS
    assert day.start_time.ToMilliseconds() == midnight
    assert day.reset_time.ToMilliseconds() == midnight + DAY_MS
    assert life.control_id == "account/life"
    assert (life.limit_count, life.used_count, life.left_count) == (5, 1, 4)
    assert life.used_amount == usd(300)
    assert not life.HasField("limit_amount")
    assert not life.HasField("reset_time")
    mesh.clock.advance(DAY_MS)
    day, life = await usage(mesh, card)
    assert (day.left_amount, day.used_count, life.used_count) == (usd(1_000), 0, 1)


async def test_a_rolling_limit_says_when_the_oldest_use_stops_to_count(mesh: AuthzMesh) -> None:
    card = await limited(mesh, daily(1_000, rolling_s=24 * 3600))
    (before,) = await usage(mesh, card)
    assert not before.HasField("reset_time")
    first = await approved(mesh, card, 100)
    spent_ms = mesh.clock.now_ms()
    mesh.clock.advance(5 * HOUR_MS)
    await approved(mesh, card, 200)
    (limit,) = await usage(mesh, card)
    freed_ms = limit.reset_time.ToMilliseconds()
    assert spent_ms + DAY_MS < freed_ms <= spent_ms + DAY_MS + DAY_MS // 59 + 1
    mesh.clock.advance(freed_ms - 1 - mesh.clock.now_ms())
    assert (await usage(mesh, card))[0].left_amount == usd(700)
    mesh.clock.advance(1)
    assert (await usage(mesh, card))[0].left_amount == usd(800)
    # What is given back late was counted in a slot that counts no more.
    await mesh.authorization.ReverseAuthorization(reversal_of(first), metadata=ADMIN)
    assert (await usage(mesh, card))[0].left_amount == usd(800)


async def test_no_limits_and_no_card(mesh: AuthzMesh) -> None:
    assert list(await usage(mesh, await mesh.card())) == []
    for card_id, code in (
        (UNKNOWN_CARD, grpc.StatusCode.NOT_FOUND),
        ("", grpc.StatusCode.INVALID_ARGUMENT),
    ):
        error = await refused(
            mesh.authorization.GetSpendUsage,
            pb.GetSpendUsageRequest(card_id=card_id),
            metadata=ADMIN,
        )
        assert error.code == code
