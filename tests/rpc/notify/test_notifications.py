"""NotificationService: answers, replays, refusals; sending is in tests/integration/notify."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.notify.v1 import notification_pb2
from holdfast.notify.v1 import notification_service_pb2 as pb
from notify.notices.kind import CHOSEN, Channel, Kind
from notify.notices.unsubscribing import Subscription
from runtime.validate import timestamp
from tests.accounts_mesh import refusal_of
from tests.notify_mesh import (
    ADMIN,
    EMAIL,
    HOLDER,
    MANAGER,
    NAME,
    OTHER_USER,
    PERSONAL,
    PHONE,
    USER,
    Headers,
    NotifyMesh,
)

_KIND = notification_pb2.NotificationKind
_CHANNEL = notification_pb2.NotificationChannel
_STATE = notification_pb2.Notification.State
_TOPIC = notification_pb2.Notice.Topic
AUDITOR: Headers = (("x-auth-subject", "usr_auditor"), ("x-auth-roles", "auditor"))
NOBODY: Headers = (("x-auth-subject", "anonymous"),)
GATEWAY: Headers = (("x-auth-spiffe", "spiffe://holdfast.local/service/gateway"),)
ACCOUNTS: Headers = (("x-auth-spiffe", "spiffe://holdfast.local/service/accounts"),)
#: No channel.
UNKNOWN: Any = 9
TOKEN = "a-token-that-resets-a-password"


def kind(name: str) -> Any:
    return _KIND.Value(f"NOTIFICATION_KIND_{name}")


def channel(name: str) -> Any:
    return _CHANNEL.Value(f"NOTIFICATION_CHANNEL_{name}")


def choice(what: str, *channels: str) -> notification_pb2.NotificationChoice:
    return notification_pb2.NotificationChoice(
        kind=kind(what), channels=[channel(one) for one in channels]
    )


async def refused(method: Any, request: Any, caller: Headers = HOLDER) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await method(request, metadata=caller)
    return refusal_of(error.value)


async def got(mesh: NotifyMesh, caller: Headers = HOLDER) -> Any:
    request = pb.GetNotificationPreferencesRequest(user_id=USER)
    answer = await mesh.notifications.GetNotificationPreferences(request, metadata=caller)
    return answer.preferences


def chosen(preferences: Any) -> dict[str, list[str]]:
    return {
        _KIND.Name(one.kind).removeprefix("NOTIFICATION_KIND_"): [
            _CHANNEL.Name(two).removeprefix("NOTIFICATION_CHANNEL_") for two in one.channels
        ]
        for one in preferences.choices
    }


async def test_what_everybody_gets(mesh: NotifyMesh) -> None:
    found = await got(mesh)
    expected = {str(one): ["EMAIL"] for one in CHOSEN} | {"PURCHASE_APPROVED": []}
    assert chosen(found) == expected
    assert (found.large_purchase_minor, found.low_credit_minor) == (50_000, 10_000)
    assert not found.HasField("quiet_hours")
    assert not found.HasField("update_time")
    assert await got(mesh, ADMIN) == await got(mesh, AUDITOR) == found


def wanted(request_id: str = "r-1", user_id: str = USER, **more: Any) -> Any:
    return pb.UpdateNotificationPreferencesRequest(
        request_id=request_id,
        user_id=user_id,
        preferences=notification_pb2.NotificationPreferences(**more),
    )


async def test_a_user_chooses(mesh: NotifyMesh) -> None:
    quiet = notification_pb2.QuietHours(start="22:00", end="07:30", timezone="America/New_York")
    request = wanted(
        choices=[choice("PURCHASE_APPROVED", "PUSH", "SMS"), choice("LOW_CREDIT")],
        quiet_hours=quiet,
        large_purchase_minor=7,
        max_per_hour=3,
    )
    update = mesh.notifications.UpdateNotificationPreferences
    answer = await update(request, metadata=HOLDER)
    found = answer.preferences
    assert chosen(found)["PURCHASE_APPROVED"] == ["SMS", "PUSH"]
    assert chosen(found)["LOW_CREDIT"] == []
    assert chosen(found)["CARD_SHIPPED"] == ["EMAIL"]
    assert (found.quiet_hours, found.large_purchase_minor, found.max_per_hour) == (quiet, 7, 3)
    assert found.update_time == timestamp(mesh.clock.now_ms())
    assert await got(mesh) == found
    mesh.clock.advance(1000)
    assert await update(request, metadata=HOLDER) == answer, "a repetition"
    request.preferences.max_per_hour = 4
    error = await refused(update, request)
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    # Everything is as the last request says.
    again = await update(wanted("r-2"), metadata=ADMIN)
    assert chosen(again.preferences)["LOW_CREDIT"] == ["EMAIL"]
    assert not again.preferences.HasField("quiet_hours")
    entries = await mesh.pool.fetch(
        "SELECT reason FROM audit.entry WHERE $1 = ANY(targets) AND method LIKE '%Update%'", USER
    )
    assert len(entries) >= 2


@pytest.mark.parametrize(
    ("more", "fields"),
    [
        ({"choices": [choice("SECURITY", "SMS")]}, ["preferences.choices[0].channels"]),
        ({"choices": [choice("STATEMENT_READY")]}, ["preferences.choices[0].channels"]),
        ({"choices": [choice("PASSWORD_RESET", "EMAIL")]}, ["preferences.choices[0].kind"]),
        ({"choices": [choice("UNSPECIFIED", "EMAIL")]}, ["preferences.choices[0].kind"]),
        (
            {"choices": [choice("LOW_CREDIT"), choice("LOW_CREDIT")]},
            ["preferences.choices[1].kind"],
        ),
        (
            {
                "choices": [
                    notification_pb2.NotificationChoice(kind=kind("LOW_CREDIT"), channels=[UNKNOWN])
                ]
            },
            ["preferences.choices[0].channels"],
        ),
        (
            {"quiet_hours": notification_pb2.QuietHours(start="24:00", end="7", timezone="Mars")},
            [f"preferences.quiet_hours.{one}" for one in ("start", "end", "timezone")],
        ),
        (
            {
                "quiet_hours": notification_pb2.QuietHours(
                    start="07:00", end="07:00", timezone="UTC"
                )
            },
            ["preferences.quiet_hours.end"],
        ),
        (
            {"large_purchase_minor": -1, "low_credit_minor": 2**53, "max_per_hour": -1},
            [
                f"preferences.{one}"
                for one in ("large_purchase_minor", "low_credit_minor", "max_per_hour")
            ],
        ),
    ],
)
async def test_what_cannot_be_chosen(
    mesh: NotifyMesh, more: dict[str, Any], fields: list[str]
) -> None:
    error = await refused(mesh.notifications.UpdateNotificationPreferences, wanted(**more))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.fields == fields


async def test_nobody_chooses_for_somebody_else(mesh: NotifyMesh) -> None:
    stub = mesh.notifications
    for method, request in (
        (
            stub.GetNotificationPreferences,
            pb.GetNotificationPreferencesRequest(user_id=OTHER_USER),
        ),
        (stub.UpdateNotificationPreferences, wanted(user_id=OTHER_USER)),
        (stub.ListNotifications, pb.ListNotificationsRequest(user_id=OTHER_USER)),
    ):
        error = await refused(method, request)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND")
        denied = await refused(method, request, MANAGER)
        assert denied.code is grpc.StatusCode.PERMISSION_DENIED
    denied = await refused(stub.UpdateNotificationPreferences, wanted(), AUDITOR)
    assert denied.code is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        (
            "GetNotificationPreferences",
            pb.GetNotificationPreferencesRequest(user_id="x"),
            ["user_id"],
        ),
        (
            "UpdateNotificationPreferences",
            pb.UpdateNotificationPreferencesRequest(),
            ["request_id", "user_id", "preferences"],
        ),
        (
            "ListNotifications",
            pb.ListNotificationsRequest(user_id="x", page_size=-1, page_token="x"),
            ["user_id", "page_size", "page_token"],
        ),
    ],
)
async def test_wrong_fields_are_named(
    mesh: NotifyMesh, method: str, request_: Any, fields: list[str]
) -> None:
    error = await refused(getattr(mesh.notifications, method), request_, ADMIN)
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, fields)


async def test_what_a_user_was_told(mesh: NotifyMesh) -> None:
    stub = mesh.notifications
    for _ in range(3):
        mesh.buy("declined")
    await mesh.told()
    first = await stub.ListNotifications(
        pb.ListNotificationsRequest(user_id=USER, page_size=2), metadata=HOLDER
    )
    rest = await stub.ListNotifications(
        pb.ListNotificationsRequest(user_id=USER, page_size=2, page_token=first.next_page_token),
        metadata=HOLDER,
    )
    assert not rest.next_page_token
    found = [*first.notifications, *rest.notifications]
    assert len({one.id for one in found}) == 3
    for one in found:
        assert (one.state, one.attempt_count) == (_STATE.STATE_SENT, 1)
        assert (one.user_id, one.account_id) == (USER, PERSONAL)
        assert (one.topic, one.kind) == ("authorization.declined", kind("PURCHASE_DECLINED"))
        assert one.event_id.startswith("evt_")
        assert one.HasField("finish_time")
        assert not one.HasField("next_attempt_time")
    text = str(found)
    assert not [one for one in (NAME, EMAIL, PHONE) if one in text]


async def test_the_token_of_a_mail_takes_its_user_off(mesh: NotifyMesh) -> None:
    token = mesh.tokens.token(
        Subscription(user_id=USER, kind=Kind.PURCHASE_DECLINED, channel=Channel.EMAIL)
    )
    request = pb.UnsubscribeRequest(token=token)
    answer = await mesh.notifications.Unsubscribe(request, metadata=NOBODY)
    assert (answer.kind, answer.channel) == (kind("PURCHASE_DECLINED"), channel("EMAIL"))
    changed = await got(mesh)
    assert chosen(changed)["PURCHASE_DECLINED"] == []
    assert chosen(changed)["LARGE_PURCHASE"] == ["EMAIL"]
    mesh.clock.advance(1000)
    assert await mesh.notifications.Unsubscribe(request, metadata=NOBODY) == answer
    assert await got(mesh) == changed, "once"
    mesh.buy("declined")
    assert not await mesh.told()


@pytest.mark.parametrize("token", ["", "x", "a" * 600, "eA"])
async def test_other_tokens_take_nobody_off(mesh: NotifyMesh, token: str) -> None:
    error = await refused(
        mesh.notifications.Unsubscribe, pb.UnsubscribeRequest(token=token), NOBODY
    )
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["token"])


def notice(request_id: str = "n-1", **more: Any) -> pb.SendNoticeRequest:
    given = {"topic": _TOPIC.TOPIC_PASSWORD_RESET, "user_id": USER, "token": TOKEN, **more}
    return pb.SendNoticeRequest(
        request_id=request_id,
        notice=notification_pb2.Notice(expire_time=timestamp(1_800_000_900_000), **given),
    )


async def test_the_gateway_has_a_user_told_once(mesh: NotifyMesh) -> None:
    send = mesh.notifications.SendNotice
    for _ in range(2):
        await send(notice(), metadata=GATEWAY)
    (row,) = await mesh.pool.fetch("SELECT secret, data::text AS data FROM notification")
    assert TOKEN.encode() not in row["secret"], "it is sealed"
    (message,) = await mesh.told()
    assert message.to == EMAIL
    assert f"https://bank.example/reset-password?token={TOKEN}" in message.words.text
    assert not message.unsubscribe
    await send(notice(), metadata=GATEWAY)
    assert not await mesh.told(), "also once it was sent"
    assert await mesh.pool.fetchval("SELECT count(secret) FROM notification") == 0
    entries = await mesh.pool.fetch("SELECT entry::text FROM audit.entry AS entry")
    assert not [one for one in entries if TOKEN in one["entry"]]


async def test_security_notices_cannot_be_switched_off(mesh: NotifyMesh) -> None:
    topics = [_TOPIC.TOPIC_PASSWORD_CHANGED, _TOPIC.TOPIC_SECOND_FACTOR_CHANGED]
    topics += [_TOPIC.TOPIC_NEW_SIGN_IN, _TOPIC.TOPIC_API_KEY_MADE]
    for number, topic in enumerate(topics):
        request = notice(f"n-{number}", topic=topic, token="")
        await mesh.notifications.SendNotice(request, metadata=GATEWAY)
    found = await mesh.told()
    assert {one.kind for one in found} == {Kind.SECURITY}
    assert len({one.words.subject for one in found}) == len(topics)


@pytest.mark.parametrize(
    ("more", "fields"),
    [
        ({"topic": 0, "token": ""}, ["notice.topic"]),
        ({"topic": 99, "token": ""}, ["notice.topic"]),
        ({"user_id": "x"}, ["notice.user_id"]),
        ({"token": ""}, ["notice.token"]),
        ({"topic": _TOPIC.TOPIC_PASSWORD_CHANGED}, ["notice.token"]),
        ({"token": "x" * 300}, ["notice.token"]),
        ({"request_id": ""}, ["request_id"]),
    ],
)
async def test_wrong_notices(mesh: NotifyMesh, more: dict[str, Any], fields: list[str]) -> None:
    error = await refused(mesh.notifications.SendNotice, notice(**more), GATEWAY)
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, fields)


async def test_only_the_gateway_sends_notices(mesh: NotifyMesh) -> None:
    for caller in (ACCOUNTS, ADMIN, HOLDER):
        error = await refused(mesh.notifications.SendNotice, notice(), caller)
        assert error.code is grpc.StatusCode.PERMISSION_DENIED
