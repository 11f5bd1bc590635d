"""Notices on their way: made once, sent at least once, not too many, not at night."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiosmtpd.controller import Controller

from holdfast.notify.v1 import event_service_pb2 as event_pb
from holdfast.notify.v1 import notification_pb2
from holdfast.notify.v1 import notification_service_pb2 as pb
from notify.notices.carrying import LogCarrier, Message, NotCarried, Refused
from notify.notices.kind import Channel, Kind
from notify.notices.mail import FileCarrier, SmtpCarrier, SmtpServer
from notify.notices.notice import ATTEMPTS_MAX, RETRY_MS
from notify.notices.phones import PushCarrier, SmsCarrier, is_safe
from notify.notices.worker import BATCH, LEASE_MS
from runtime.events.catalogue import money
from runtime.log import configure_logging
from tests.notify_mesh import (
    ACCOUNT,
    ADMIN,
    CAPS,
    COMPANY,
    EMAIL,
    NAME,
    OTHER_ACCOUNT,
    PERSONAL,
    PHONE,
    USER,
    NotifyMesh,
)

HOUR_MS = 3_600_000
SENDER = "Bank <notices@bank.example>"
_KIND = notification_pb2.NotificationKind
_CHANNEL = notification_pb2.NotificationChannel


async def choose(mesh: NotifyMesh, kinds: dict[str, list[str]], **more: Any) -> None:
    choices = [
        notification_pb2.NotificationChoice(
            kind=_KIND.Value(f"NOTIFICATION_KIND_{kind}"),
            channels=[_CHANNEL.Value(f"NOTIFICATION_CHANNEL_{one}") for one in channels],
        )
        for kind, channels in kinds.items()
    ]
    preferences = notification_pb2.NotificationPreferences(choices=choices, **more)
    request = pb.UpdateNotificationPreferencesRequest(
        request_id=mesh.request_id(), user_id=USER, preferences=preferences
    )
    await mesh.notifications.UpdateNotificationPreferences(request, metadata=ADMIN)


async def states(mesh: NotifyMesh) -> Counter[tuple[str, str]]:
    rows = await mesh.pool.fetch("SELECT state, reason FROM notification")
    return Counter((row["state"], row["reason"]) for row in rows)


async def test_an_event_is_told_once_by_each_channel(mesh: NotifyMesh) -> None:
    await choose(mesh, {"PURCHASE_DECLINED": ["EMAIL", "SMS", "PUSH"]})
    mesh.buy("declined")
    mesh.buy("approved")
    mesh.freeze(PERSONAL, USER)
    found = await mesh.told()
    assert {(one.kind, one.to) for one in found} == {
        (Kind.PURCHASE_DECLINED, to) for to in (EMAIL, PHONE, USER)
    }
    assert not await mesh.told()
    # A position that was lost takes everything in again: it is refused as a whole, nothing doubles.
    assert (await states(mesh)) == {("SENT", ""): 3}
    mail = next(one for one in found if one.to == EMAIL)
    assert NAME in mail.words.text
    assert "insufficient funds" in mail.words.text
    assert mesh.tokens.read(mail.unsubscribe.partition("token=")[2]) is not None


async def test_managers_are_told_what_concerns_their_company(mesh: NotifyMesh) -> None:
    """Of an unusual day, each of them once; of what need not be said, nobody. A company that has
    no manager is told by webhook only.
    """
    unusual = {
        "anomaly_id": "anom_0a" + "7" * 32,
        "date": "2027-01-14",
        "amount": money(99_000, "USD"),
        "usual_amount": money(1_000, "USD"),
    }
    mesh.happen("account.spend_unusual", account_id=ACCOUNT, owner_id=COMPANY, **unusual)
    mesh.happen("account.spend_unusual", account_id=OTHER_ACCOUNT, **unusual)
    mesh.happen("payment.credited", account_id=ACCOUNT, owner_id=COMPANY)
    found = await mesh.told()
    assert {one.user_id for one in found} == set(mesh.accounts.managers[COMPANY])
    assert len(found) == 2
    assert all(f"about the account {ACCOUNT}." in one.words.text for one in found)
    assert not await mesh.told()


async def test_tests_of_developers_are_told_to_nobody(mesh: NotifyMesh) -> None:
    request = event_pb.TriggerEventRequest(
        request_id=mesh.request_id(), type="card.shipped", owner_id=USER
    )
    await mesh.events.TriggerEvent(request, metadata=ADMIN)
    assert not await mesh.told()


async def test_a_user_is_told_so_much_in_an_hour(mesh: NotifyMesh) -> None:
    """In any hour at most the cap, wherever it begins; what must be said is said all the same."""
    made: list[int] = []
    for minutes in (0, 0, 1, 0, 1, 28, 29, 1, 1, 0, 14, 44, 1, 1, 1):
        mesh.clock.advance(minutes * 60_000)
        mesh.buy("declined")
        made += [mesh.clock.now_ms()] * len(await mesh.told())
    assert len(made) < 15
    for start in made:
        assert sum(start <= one < start + HOUR_MS for one in made) <= CAPS[Channel.EMAIL]
    found = await states(mesh)
    assert found["SUPPRESSED", "RATE_CAPPED"] == 15 - len(made)
    mesh.happen("user.suspended", owner_id=USER, user_id=USER, state="SUSPENDED")
    assert [one.kind for one in await mesh.told()] == [Kind.SECURITY]


async def test_a_users_own_cap_is_lower(mesh: NotifyMesh) -> None:
    await choose(mesh, {}, max_per_hour=1)
    for _ in range(3):
        mesh.buy("declined")
    assert len(await mesh.told()) == 1


async def test_what_is_not_urgent_waits_for_the_morning(mesh: NotifyMesh) -> None:
    """2027-01-15 08:00 UTC is 03:00 in New York."""
    quiet = notification_pb2.QuietHours(start="22:00", end="07:00", timezone="America/New_York")
    await choose(mesh, {}, quiet_hours=quiet)
    mesh.buy("declined")
    mesh.happen("user.suspended", owner_id=USER, user_id=USER, state="SUSPENDED")
    assert [one.kind for one in await mesh.told()] == [Kind.SECURITY]
    mesh.clock.advance(4 * HOUR_MS - 10 * 60_000)
    assert not await mesh.told()
    mesh.clock.advance(10 * 60_000)
    assert [one.kind for one in await mesh.told()] == [Kind.PURCHASE_DECLINED]
    assert await mesh.pool.fetchval("SELECT max(attempts) FROM notification") == 1


async def test_what_fails_is_tried_again_and_given_up(mesh: NotifyMesh) -> None:
    mesh.happen("user.suspended", owner_id=USER, user_id=USER, state="SUSPENDED")
    mesh.post.fails = [NotCarried("TimeoutError")] * ATTEMPTS_MAX
    for wait_ms in RETRY_MS:
        assert not await mesh.told()
        mesh.clock.advance(wait_ms - 1)
        assert not await mesh.worker().step()
        mesh.clock.advance(1)
    assert not await mesh.told()
    assert await states(mesh) == {("FAILED", "GAVE_UP"): 1}
    assert not mesh.post.fails
    mesh.clock.advance(24 * HOUR_MS)
    assert not await mesh.worker().step()


async def test_who_cannot_be_reached(mesh: NotifyMesh) -> None:
    await choose(mesh, {"PURCHASE_DECLINED": ["EMAIL", "SMS"]})
    mesh.post.accounts_down = True
    mesh.buy("declined")
    assert not await mesh.told()
    mesh.post.accounts_down = False
    mesh.clock.advance(RETRY_MS[0])
    mesh.post.fails = [Refused("SMTP_550")]
    mesh.post.contacts[USER] = type(mesh.post.contacts[USER])(name=NAME, email=EMAIL)
    assert not await mesh.told()
    assert await states(mesh) == {("FAILED", "REFUSED"): 1, ("SUPPRESSED", "NO_CONTACT"): 1}
    mesh.post.contacts.clear()
    mesh.buy("declined")
    assert not await mesh.told()
    assert (await states(mesh))["SUPPRESSED", "NO_CONTACT"] == 3


async def test_old_news_is_not_told(mesh: NotifyMesh) -> None:
    mesh.buy("declined")
    await mesh.caught_up()
    mesh.clock.advance(25 * HOUR_MS)
    assert not await mesh.told()
    assert await states(mesh) == {("SUPPRESSED", "EXPIRED"): 1}


async def test_several_senders_take_different_notices(mesh: NotifyMesh) -> None:
    count = BATCH * 3 + 1
    for _ in range(count):
        mesh.happen("user.suspended", owner_id=USER, user_id=USER, state="SUSPENDED")
    await mesh.caught_up()
    workers = [mesh.worker() for _ in range(4)]

    async def drain(one: Any) -> None:
        while await one.step():
            pass

    await asyncio.gather(*(drain(one) for one in workers))
    assert len(mesh.post.carried) == count
    assert len({one.id for one in mesh.post.carried}) == count


class Dying:
    """A sender that dies at some places: before it hands a message over, or right after."""

    def __init__(self, mesh: NotifyMesh) -> None:
        self.mesh = mesh
        self.number = 0
        self.carried: list[str] = []

    async def carry(self, message: Message) -> None:
        self.number += 1
        if self.number % 3 == 1:
            raise asyncio.CancelledError
        self.carried.append(message.id)
        if self.number % 3 == 2:
            raise asyncio.CancelledError

    async def close(self) -> None:
        pass


async def test_what_a_dead_sender_had_is_sent_by_another(mesh: NotifyMesh) -> None:
    """None is lost; twice comes only what was handed over by who died before noting it."""
    for _ in range(3):
        mesh.buy("declined")
    await mesh.caught_up()
    dying = Dying(mesh)
    for _ in range(6):
        with suppress(asyncio.CancelledError):
            await mesh.worker(email=dying).step()
        mesh.clock.advance(LEASE_MS - 1)
        assert not await mesh.worker(email=dying).step(), "it is still taken"
        mesh.clock.advance(1)
    while await mesh.worker(email=mesh.post).step():
        pass
    counts = Counter([*dying.carried, *(one.id for one in mesh.post.carried)])
    assert len(counts) == 3
    assert set(await states(mesh)) == {("SENT", "")}


class Inbox:
    """An SMTP server of the tests."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.answer = "250 OK"
        self.recipient_answer = "250 OK"

    async def handle_RCPT(
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if self.recipient_answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.recipient_answer

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        if self.answer.startswith("250"):
            self.mails.append(envelope.content)
        return self.answer


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def smtp(inbox: Inbox) -> Iterator[SmtpCarrier]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    yield SmtpCarrier(
        SmtpServer(host="127.0.0.1", port=controller.port, start_tls=False), sender=SENDER
    )
    controller.stop()


async def test_a_mail_arrives(mesh: NotifyMesh, inbox: Inbox, smtp: SmtpCarrier) -> None:
    mesh.buy("declined")
    await mesh.caught_up()
    inbox.answer = "451 later"
    assert await mesh.worker(email=smtp).step() == 1
    assert (await states(mesh)) == {("PENDING", ""): 1}
    inbox.answer = "250 OK"
    mesh.clock.advance(RETRY_MS[0])
    assert await mesh.worker(email=smtp).step() == 1
    (content,) = inbox.mails
    mail = message_from_bytes(content)
    assert (mail["To"], mail["From"]) == (EMAIL, SENDER)
    assert mail["Subject"] == "A purchase of 10.00 USD was declined"
    inbox.recipient_answer = "550 nobody here"
    mesh.buy("declined")
    await mesh.caught_up()
    assert await mesh.worker(email=smtp).step() == 1
    assert (await states(mesh)) == {("SENT", ""): 1, ("FAILED", "REFUSED"): 1}


async def test_without_a_mail_server_mails_are_files(mesh: NotifyMesh, tmp_path: Path) -> None:
    carrier = FileCarrier(tmp_path / "mails", sender=SENDER)
    mesh.buy("declined")
    await mesh.caught_up()
    await mesh.worker(email=carrier).step()
    (file,) = (tmp_path / "mails").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert EMAIL.encode() in file.read_bytes()
    await mesh.pool.execute(
        "UPDATE notification SET state = 'PENDING', finish_time = NULL, due_time = create_time"
    )
    await mesh.worker(email=carrier).step()
    assert [one.name for one in (tmp_path / "mails").iterdir()] == [file.name], "the same mail"


@pytest.fixture
async def told_by_http() -> AsyncIterator[tuple[str, list[Any], list[int]]]:
    """An HTTP server that answers with the given statuses, then 201."""
    told: list[Any] = []
    statuses: list[int] = []

    async def answer(request: web.Request) -> web.Response:
        if request.content_type == "application/json":
            content: Any = await request.json()
        else:
            content = dict(await request.post())
        told.append((request.path, request.headers.get("authorization"), content))
        return web.Response(status=statuses.pop(0) if statuses else 201)

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}", told, statuses
    await runner.cleanup()


async def test_text_messages_and_apps(
    mesh: NotifyMesh, told_by_http: tuple[str, list[Any], list[int]]
) -> None:
    url, told, statuses = told_by_http
    sms = SmsCarrier(url, account="AC1", token="a-token", sender="+15005550006")
    push = PushCarrier(f"{url}/push", token="another-token")
    await choose(mesh, {"PURCHASE_DECLINED": ["SMS", "PUSH"]})
    mesh.buy("declined")
    await mesh.caught_up()
    statuses += [503, 503]
    worker = mesh.worker(sms=sms, push=push)
    assert await worker.step() == 2
    mesh.clock.advance(RETRY_MS[0])
    assert await worker.step() == 2
    await sms.close()
    await push.close()
    found = {path: (login, content) for path, login, content in told}
    login, content = found["/2010-04-01/Accounts/AC1/Messages.json"]
    assert login.startswith("Basic ")
    assert (content["To"], content["From"]) == (PHONE, "+15005550006")
    assert content["Body"] == "A purchase of 10.00 USD was declined: insufficient funds."
    login, content = found["/push"]
    assert login == "Bearer another-token"
    assert (content["user_id"], content["kind"]) == (USER, "PURCHASE_DECLINED")
    assert not [one for one in (NAME, EMAIL, PHONE) if one in str(content)]
    assert await states(mesh) == {("SENT", ""): 2}


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, Refused), (404, Refused), (401, NotCarried), (429, NotCarried), (302, NotCarried)],
)
async def test_answers_of_providers(
    mesh: NotifyMesh,
    told_by_http: tuple[str, list[Any], list[int]],
    status: int,
    error: type[Exception],
) -> None:
    url, _, statuses = told_by_http
    statuses.append(status)
    mesh.buy("declined")
    (message,) = await mesh.told()
    push = PushCarrier(url, token="")
    with pytest.raises(error, match=f"^HTTP_{status}$"):
        await push.carry(message)
    await push.close()


async def test_the_log_says_nothing_of_anybody(
    mesh: NotifyMesh, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(instance="test", level="DEBUG", cached=False)
    mesh.buy("declined")
    (message,) = await mesh.told()
    await LogCarrier().carry(message)
    mesh.post.fails = [NotCarried("ConnectionRefusedError"), RuntimeError("of ours")]
    for _ in range(2):
        mesh.buy("declined")
    await mesh.told()
    captured = capsys.readouterr()
    for text in (captured.out, captured.err, repr(message)):
        assert not [one for one in (NAME, EMAIL, PHONE) if one in text]
    for line in ("notification_logged", "notification_delayed", "notification_failed"):
        assert line in captured.err


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://api.example", True),
        ("http://127.0.0.1:8000", True),
        ("http://api.example", False),
        ("ftp://localhost", False),
        ("https://", False),
    ],
)
def test_providers_are_spoken_to_in_secret(url: str, *, safe: bool) -> None:
    assert is_safe(url) is safe
