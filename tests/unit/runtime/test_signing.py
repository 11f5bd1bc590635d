"""Signatures of webhooks are those of Standard Webhooks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from runtime.events.signing import SignatureError, headers, key_of, secret_text, signature, verify

#: The published test vector.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID, STAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def signed(*secrets: str) -> dict[str, str]:
    keys = [key_of(one) for one in secrets or (SECRET,)]
    return headers(keys, message_id=MESSAGE_ID, timestamp_s=STAMP, body=BODY)


def test_the_published_vector() -> None:
    key = key_of(SECRET)
    assert signature(key, message_id=MESSAGE_ID, timestamp_s=STAMP, body=BODY) == SIGNATURE
    assert secret_text(key) == SECRET
    verify(SECRET, signed(), BODY, now_s=STAMP)


def test_the_reference_implementation_says_the_same() -> None:
    """Both ways, now: it refuses what is older than five minutes."""
    now = datetime.now(UTC)
    stamp = int(now.timestamp())
    mine = headers([key_of(SECRET)], message_id="evt_1", timestamp_s=stamp, body=BODY)
    assert Webhook(SECRET).verify(BODY, mine) == {"test": 2432232314}
    theirs = Webhook(SECRET).sign("evt_1", now, BODY.decode())
    assert theirs == mine["webhook-signature"]


def test_during_a_rotation_either_secret_verifies() -> None:
    other = secret_text(b"k" * 32)
    for secret in (SECRET, other):
        verify(secret, signed(other, SECRET), BODY, now_s=STAMP + 300)


@pytest.mark.parametrize(
    ("changes", "body", "now_s"),
    [
        ({}, b"{}", STAMP),
        ({}, BODY, STAMP + 301),
        ({}, BODY, STAMP - 301),
        ({"webhook-id": "msg_2"}, BODY, STAMP),
        ({"webhook-timestamp": str(STAMP + 1)}, BODY, STAMP),
        ({"webhook-timestamp": "soon"}, BODY, STAMP),
        ({"webhook-signature": "v1,é"}, BODY, STAMP),
        ({"webhook-signature": SIGNATURE.replace("v1", "v2")}, BODY, STAMP),
        ({"webhook-signature": ""}, BODY, STAMP),
    ],
)
def test_what_nobody_with_the_secret_sent(changes: dict[str, str], body: bytes, now_s: int) -> None:
    with pytest.raises(SignatureError):
        verify(SECRET, {**signed(), **changes}, body, now_s=now_s)


def test_headers_must_be_there() -> None:
    for name in signed():
        given = signed()
        del given[name]
        with pytest.raises(SignatureError):
            verify(SECRET, given, BODY, now_s=STAMP)
