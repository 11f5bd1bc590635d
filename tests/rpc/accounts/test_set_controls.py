"""SetCardControls and SetAccountControls: versions, repetitions, what starts to count anew."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.accounts.v1.account_service_pb2 import SetAccountControlsRequest
from holdfast.accounts.v1.card_service_pb2 import FreezeCardRequest, SetCardControlsRequest
from holdfast.type.v1 import spend_controls_pb2 as pb
from holdfast.type.v1.money_pb2 import Money
from tests.accounts_mesh import (
    UNKNOWN_ACCOUNT,
    UNKNOWN_CARD,
    AccountsMesh,
    call,
    call_replayed,
    refused,
    usd,
)

DAY = pb.CalendarWindow(unit=pb.CalendarWindow.UNIT_DAY, timezone="Europe/Madrid")


def controls(amount_minor: int = 500, **more: Any) -> pb.SpendControls:
    limit = pb.SpendLimit(control_id="daily", amount=usd(amount_minor), calendar=DAY)
    fields: dict[str, Any] = {"limits": [limit], "transaction_maximum": usd(300)}
    return pb.SpendControls(**(fields | more))


async def _set(mesh: AccountsMesh, card_id: str, value: pb.SpendControls | None) -> Any:
    request = SetCardControlsRequest(request_id=mesh.request_id(), card_id=card_id, controls=value)
    return (await call(mesh.cards.SetCardControls, request)).card


async def test_answers_after_the_authorizer_has_them(mesh: AccountsMesh) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id)
    mesh.clock.advance(5)
    changed = await _set(mesh, card.id, controls())
    assert changed.version == 2
    assert changed.update_time.ToMilliseconds() == mesh.clock.now_ms()
    (limit,) = changed.controls.limits
    assert limit.counting_since.ToMilliseconds() == mesh.clock.now_ms()
    assert changed.controls.transaction_maximum == usd(300)
    last: Any = mesh.authorizer.requests[-1]
    assert (last.version, last.controls) == (2, changed.controls)


async def test_a_limit_that_stays_goes_on_counting_and_a_changed_one_starts_anew(
    mesh: AccountsMesh,
) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id)
    first = await _set(mesh, card.id, controls())
    mesh.clock.advance(1_000)
    assert await _set(mesh, card.id, controls()) == first
    other = await _set(mesh, card.id, controls(blocked_countries=["KP"]))
    assert other.version == 3
    assert other.controls.limits == first.controls.limits
    changed = await _set(mesh, card.id, controls(501))
    assert changed.controls.limits[0].counting_since.ToMilliseconds() == mesh.clock.now_ms()
    # Whoever sends back what was answered changes nothing: when it began is not the caller's.
    told = pb.SpendControls()
    told.CopyFrom(changed.controls)
    told.limits[0].counting_since.FromMilliseconds(1)
    mesh.clock.advance(1_000)
    assert await _set(mesh, card.id, told) == changed
    assert not (await _set(mesh, card.id, None)).HasField("controls")


async def test_later_changes_keep_the_controls(mesh: AccountsMesh) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id)
    changed = await _set(mesh, card.id, controls())
    request = FreezeCardRequest(request_id="freeze", card_id=card.id)
    frozen = (await call(mesh.cards.FreezeCard, request)).card
    assert frozen.controls == changed.controls
    last: Any = mesh.authorizer.requests[-1]
    assert last.controls == changed.controls


async def test_accounts_have_controls_too(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    request = SetAccountControlsRequest(request_id="r", account_id=account.id, controls=controls())
    answer, replayed = await call_replayed(mesh.accounts.SetAccountControls, request)
    assert not replayed
    assert answer.account.version == 2
    last: Any = mesh.authorizer.requests[-1]
    assert last.controls == answer.account.controls
    mesh.clock.advance(1_000)
    assert await call_replayed(mesh.accounts.SetAccountControls, request) == (answer, True)
    request.controls.merchant_lock = True
    request.request_id = "other"
    error = await refused(mesh.accounts.SetAccountControls, request)
    assert error.fields == ["controls.merchant_lock"]


async def test_unknown_cards_and_accounts(mesh: AccountsMesh) -> None:
    card = SetCardControlsRequest(request_id="r", card_id=UNKNOWN_CARD)
    error = await refused(mesh.cards.SetCardControls, card)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "CARD_NOT_FOUND")
    account = SetAccountControlsRequest(request_id="r", account_id=UNKNOWN_ACCOUNT)
    error = await refused(mesh.accounts.SetAccountControls, account)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")


def _limit(**fields: Any) -> dict[str, Any]:
    valid: dict[str, Any] = {"control_id": "a", "count": 1, "calendar": DAY}
    return {"limits": [pb.SpendLimit(**(valid | fields))]}


def _rolling(seconds: int, nanos: int = 0) -> dict[str, Any]:
    limit = pb.SpendLimit(control_id="a", count=1)
    limit.rolling.seconds, limit.rolling.nanos = seconds, nanos
    return {"limits": [limit]}


def _calendar(**fields: Any) -> dict[str, Any]:
    return _limit(calendar=pb.CalendarWindow(**({"unit": 1} | fields)))


def _hours(**fields: Any) -> dict[str, Any]:
    return {"active_hours": [pb.ActiveHours(**fields)]}


EUR = Money(currency_code="EUR", amount_minor=1)
LIST = ["x"] * 201


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"transaction_maximum": usd(0)}, "transaction_maximum.amount_minor"),
        ({"transaction_maximum": EUR}, "transaction_maximum.currency_code"),
        (_limit(amount=EUR), "limits[0].amount.currency_code"),
        (_limit(control_id=""), "limits[0].control_id"),
        (_limit(control_id="A b"), "limits[0].control_id"),
        (_limit(count=0), "limits[0].amount"),
        (_limit(count=-1), "limits[0].count"),
        (_limit(calendar=None), "limits[0].calendar"),
        (_limit(categories=["54"]), "limits[0].categories[0]"),
        (_calendar(unit=0), "limits[0].calendar.unit"),
        (_calendar(unit=9), "limits[0].calendar.unit"),
        (_calendar(timezone="Mars/Olympus"), "limits[0].calendar.timezone"),
        (_calendar(timezone="../etc/passwd"), "limits[0].calendar.timezone"),
        (_calendar(timezone="x" * 1_000), "limits[0].calendar.timezone"),
        (_calendar(week_start=8), "limits[0].calendar.week_start"),
        (_rolling(59), "limits[0].rolling"),
        (_rolling(366 * 86_400 + 1), "limits[0].rolling"),
        (_rolling(366 * 86_400, 1), "limits[0].rolling"),
        (_rolling(60, -1), "limits[0].rolling"),
        ({"limits": _limit()["limits"] * 2}, "limits[1].control_id"),
        (
            {
                "limits": [
                    pb.SpendLimit(control_id=f"c{n}", count=1, calendar=DAY) for n in range(11)
                ]
            },
            "limits",
        ),
        ({"allowed_categories": ["4000-3000"]}, "allowed_categories[0]"),
        (
            {"allowed_categories": ["4000"], "blocked_categories": ["4000"]},
            "blocked_categories",
        ),
        ({"blocked_countries": ["us"]}, "blocked_countries[0]"),
        ({"allowed_countries": ["US"], "blocked_countries": ["DE"]}, "blocked_countries"),
        ({"allowed_merchants": [""]}, "allowed_merchants[0]"),
        ({"blocked_merchants": ["x" * 129]}, "blocked_merchants[0]"),
        ({"blocked_merchants": LIST}, "blocked_merchants"),
        ({"blocked_channels": [0]}, "blocked_channels"),
        (_hours(start="24:00"), "active_hours[0].start"),
        (_hours(end="9:00"), "active_hours[0].end"),
        (_hours(weekdays=[0]), "active_hours[0].weekdays"),
        (_hours(timezone="\x00"), "active_hours[0].timezone"),
    ],
)
async def test_malformed_controls_are_named(
    mesh: AccountsMesh, fields: dict[str, Any], wrong: str
) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id)
    request = SetCardControlsRequest(
        request_id="r", card_id=card.id, controls=pb.SpendControls(**fields)
    )
    error = await refused(mesh.cards.SetCardControls, request)
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert error.fields == [f"controls.{wrong}"]
    assert mesh.authorizer.versions[card.id] == 1
