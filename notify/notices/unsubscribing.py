"""Tokens that take a user off one kind, on one channel. They say whom, and only we make them."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

from notify.notices.kind import RULES, Channel, Kind
from runtime import ids
from runtime.key_ring import KeyRing

#: The ring that signs them. Mails are old when they are opened: versions of it are kept for long.
RING = "notify-unsubscribe"
TOKEN_LENGTH_MAX = 512
_PURPOSE = b"unsubscribe:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What a user is told, by what."""

    user_id: str
    kind: Kind
    channel: Channel


class Tokens:
    """Makes tokens, and reads them."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def token(self, subscription: Subscription) -> str:
        """The token of a subscription; empty if nobody can be taken off it."""
        if RULES[subscription.kind].required:
            return ""
        content = _content(subscription)
        key_id, mac = self._ring.mac(_PURPOSE + content)
        return urlsafe_b64encode(b":".join((content, key_id.encode(), mac))).decode().rstrip("=")

    def read(self, token: str) -> Subscription | None:
        """What a token takes off; None if it is none of ours."""
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            user_id, kind, channel, key_id, mac = raw.split(b":", 4)
            found = Subscription(
                user_id=user_id.decode(),
                kind=Kind(kind.decode()),
                channel=Channel(channel.decode()),
            )
        except ValueError:
            return None
        if not ids.is_id(found.user_id, ids.USER) or RULES[found.kind].required:
            return None
        expected = self._ring.macs(_PURPOSE + _content(found)).get(
            key_id.decode("ascii", "replace")
        )
        return found if expected is not None and hmac.compare_digest(expected, mac) else None


def _content(subscription: Subscription) -> bytes:
    parts = (subscription.user_id, subscription.kind, subscription.channel)
    return ":".join(parts).encode()
