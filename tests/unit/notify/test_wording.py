"""What messages say, whatever merchants and people are called."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.notices.carrying import Message
from notify.notices.kind import Channel, Kind
from notify.notices.mail import mail_of, smtp_server
from notify.notices.notice import Notice
from notify.notices.planning import TOLD
from notify.notices.unsubscribing import Subscription, Tokens
from notify.notices.wording import SHORT_LENGTH_MAX, Words, words
from runtime.clock import ManualClock
from runtime.events.catalogue import CATALOGUE, money
from runtime.key_ring import KeyRing
from runtime.secrets import FileSecrets

USER = "usr_0a" + "1" * 32
SENDER = "Bank <notices@bank.example>"
HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}{% raw %}"
SECURITY = (
    *("password_changed", "second_factor_changed", "new_sign_in", "suspended", "reactivated"),
    *("spend_unusual", "declines_unusual", "country_unusual", "api_key_made"),
)


def said(kind: Kind, topic: str = "", name: str = "Ada", **more: Any) -> Words:
    data = {
        "amount": money(123_456, "USD"),
        "available_credit": money(-50, "USD"),
        "balance": money(99, "JPY"),
        "minimum_payment": money(10, "JPY"),
        "cycle_end_date": "2027-01-15",
        "due_date": "2027-02-09",
        "scheduled_date": "2027-02-01",
        "decline_reason": "INSUFFICIENT_FUNDS",
        "merchant_id": "mer_1",
        "date": "2027-01-14",
        "usual_amount": money(8_012, "USD"),
        "declined_count": 7,
        "decided_count": 9,
        "country_code": "FRA",
        "attempt_count": 4,
    }
    links = {name: more.pop(name) for name in ("token", "link", "unsubscribe") if name in more}
    notice = Notice(
        id="ntf_0a" + "1" * 32,
        source_id="x",
        kind=kind,
        channel=Channel.EMAIL,
        user_id=USER,
        topic=f"user.{topic}",
        data={**data, **more},
        due_time_ms=0,
        expire_time_ms=1,
        create_time_ms=0,
    )
    return words(notice, name=name, **links)


CASES: list[tuple[Kind, str]] = [(kind, "") for kind in Kind if kind is not Kind.SECURITY]
CASES += [(Kind.SECURITY, topic) for topic in SECURITY]


class Elements(HTMLParser):
    """The elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, _attrs: Any) -> None:
        self.found.add(tag)


@pytest.mark.parametrize(("kind", "topic"), CASES)
def test_everything_can_be_said(kind: Kind, topic: str) -> None:
    found = said(kind, topic, token="t-1", link="https://bank.example/r?token=t-1")
    assert found.subject
    assert "\n" not in found.subject
    assert found.text.startswith("Hello Ada,\n\n")
    assert "https://bank.example/r?token=t-1" in found.text
    assert 0 < len(found.short) <= SHORT_LENGTH_MAX
    assert "t-1" not in found.short + found.subject, "secrets travel by mail only"
    for text in (found.subject, found.text, found.html, found.short):
        assert "{" not in text.replace("{max-width", "")
        assert "None" not in text


@pytest.mark.parametrize("name", sorted(TOLD))
def test_events_have_what_their_words_need(name: str) -> None:
    """Only fields that are always there are taken for granted."""
    event = CATALOGUE[name]
    data = {one: event.example[one] for one in event.fields}
    kinds = {
        "authorization.declined": [Kind.PURCHASE_DECLINED],
        "payment.credited": [Kind.PAYMENT_SUCCEEDED],
        "payment.failed": [Kind.PAYMENT_FAILED],
        "payment.returned": [Kind.PAYMENT_RETURNED],
        "payment.refunded": [Kind.PAYMENT_REFUNDED],
        "payment.refund_failed": [Kind.PAYMENT_REFUNDED],
        "payment.scheduled": [Kind.PAYMENT_SCHEDULED],
        "statement.ready": [Kind.STATEMENT_READY],
        "report.ready": [Kind.STATEMENT_READY],
        "card.shipped": [Kind.CARD_SHIPPED],
        "account.spend_unusual": [Kind.SECURITY],
        "account.declines_unusual": [Kind.SECURITY],
        "account.country_unusual": [Kind.SECURITY],
        "account.user_added": [Kind.SECURITY],
        "account.user_removed": [Kind.SECURITY],
        "user.suspended": [Kind.SECURITY],
        "user.reactivated": [Kind.SECURITY],
    }.get(name, [Kind.PURCHASE_APPROVED, Kind.LARGE_PURCHASE, Kind.LOW_CREDIT])
    for kind in kinds:
        notice = Notice(
            id="ntf_0a" + "1" * 32,
            source_id="x",
            kind=kind,
            channel=Channel.EMAIL,
            user_id=USER,
            topic=name,
            data=data,
            due_time_ms=0,
            expire_time_ms=1,
            create_time_ms=0,
        )
        assert words(notice, name="").subject


def test_hostile_values_stay_text() -> None:
    found = said(Kind.PURCHASE_DECLINED, name=HOSTILE, merchant_id=HOSTILE)
    assert HOSTILE in found.text, "nothing of it is carried out"
    elements = Elements()
    elements.feed(found.html)
    assert "script" not in elements.found
    assert "49" not in found.html


def mail(found: Words, *, unsubscribe: str = "") -> EmailMessage:
    message = Message(
        id="ntf_0a" + "1" * 32,
        kind=Kind.CARD_SHIPPED,
        user_id=USER,
        to="ada@example.com",
        words=found,
        unsubscribe=unsubscribe,
        time_ms=1_800_000_000_000,
    )
    raw = bytes(mail_of(message, sender=SENDER))
    if unsubscribe:
        assert f"\r\nList-Unsubscribe: <{unsubscribe}>\r\n".encode() in raw, "as it is, in one line"
    made = message_from_bytes(raw, policy=policy.default)
    assert isinstance(made, EmailMessage)
    return made


@given(name=st.text(max_size=60), merchant=st.text(max_size=60))
def test_no_value_adds_a_header_or_an_address(name: str, merchant: str) -> None:
    made = mail(said(Kind.LARGE_PURCHASE, name=name, merchant_id=merchant))
    assert made["To"] == "ada@example.com"
    assert sorted(one.lower() for one in made.keys()) == [  # noqa: SIM118 - no mapping
        "auto-submitted",
        "content-type",
        "date",
        "from",
        "message-id",
        "mime-version",
        "subject",
        "to",
    ]


def test_a_mail_has_text_and_html_and_lets_go() -> None:
    token = "A1b-" * 50
    url = f"https://api.bank.example/v1/notifications:unsubscribe?token={token}"
    made = mail(said(Kind.CARD_SHIPPED, unsubscribe="https://bank.example/leave"), unsubscribe=url)
    assert made["List-Unsubscribe"] == f"<{url}>"
    assert made["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert made["Message-ID"] == f"<ntf_0a{'1' * 32}@bank.example>"
    for kind in ("plain", "html"):
        body = made.get_body((kind,))
        assert body is not None
        assert "https://bank.example/leave" in body.get_content()


@pytest.mark.parametrize(
    ("url", "port", "tls", "start_tls"),
    [
        ("smtp://mail.example", 587, False, True),
        ("smtp://mail.example:25", 25, False, True),
        ("smtp://127.0.0.1:2525", 2525, False, False),
        ("smtp://localhost", 587, False, False),
        ("smtps://mail.example", 465, True, False),
    ],
)
def test_mail_servers_are_spoken_to_in_secret(
    url: str, port: int, tls: bool, start_tls: bool
) -> None:
    found = smtp_server(url)
    assert (found.port, found.tls, found.start_tls) == (port, tls, start_tls)


def test_a_login_stands_in_the_url_and_nowhere_else() -> None:
    found = smtp_server("smtps://us%40er:p%2Fw@mail.example")
    assert (found.user, found.password) == ("us@er", "p/w")
    assert "p/w" not in repr(found)
    for wrong in ("http://p-w@mail.example", "smtp://", "smtp://p-w@h:x", "smtp://p-w@h/path"):
        with pytest.raises(ValueError, match="no URL of an SMTP server") as error:
            smtp_server(wrong)
        assert "p-w" not in str(error.value)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    ring = KeyRing(FileSecrets(tmp_path_factory.mktemp("ring")), "test", ManualClock())
    ring.ensure()
    return Tokens(ring)


@given(kind=st.sampled_from(Kind), channel=st.sampled_from(Channel), data=st.data())
def test_only_our_tokens_take_somebody_off(
    tokens: Tokens, kind: Kind, channel: Channel, data: st.DataObject
) -> None:
    subscription = Subscription(user_id=USER, kind=kind, channel=channel)
    token = tokens.token(subscription)
    if not token:
        assert kind in {
            Kind.SECURITY,
            Kind.PASSWORD_RESET,
            Kind.STATEMENT_READY,
            Kind.PAYMENT_FAILED,
            Kind.PAYMENT_RETURNED,
        }
        return
    assert tokens.read(token) == subscription
    place = data.draw(st.integers(0, len(token) - 2))
    other = "A" if token[place] != "A" else "B"
    assert tokens.read(token[:place] + other + token[place + 1 :]) is None
    assert tokens.read(data.draw(st.text(max_size=80))) is None
