"""Sessions and refresh tokens: how long they live, what a token looks like. Pure."""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: A session that is not used for so long ends.
IDLE_MS = 14 * 86_400_000
#: A session ends after this time however much it is used.
LIFE_MS = 90 * 86_400_000
#: How long a Refresh whose answer was lost may be repeated.
REPEAT_MS = 60_000
#: Sessions of one user; the oldest ends when there would be more.
SESSIONS_MAX = 50

_SECRET_BYTES = 32
_NONCE_BYTES = 12
_MAC_BYTES = 16
_TOKEN = re.compile(r"hfr_([0-9a-f]{34})\.([0-9a-f]{64})\.([0-9a-f]{32})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sign-in of a user."""

    id: str
    user_id: str
    roles: tuple[str, ...]
    company_id: str = ""
    client: str = ""
    address: str = ""
    create_ms: int
    use_ms: int
    #: Of the user, when it began: a change ends those of the versions before.
    version: int = 0
    #: When the user last showed a second factor; 0: not in this session.
    mfa_ms: int = 0

    @property
    def end_ms(self) -> int:
        """When it ends anyway."""
        return self.create_ms + LIFE_MS

    @property
    def expire_ms(self) -> int:
        """When it ends unless it is used before."""
        return min(self.use_ms + IDLE_MS, self.end_ms)

    @property
    def idle_ms(self) -> int:
        """How long it goes on unless it is used; 0: it has ended."""
        return max(self.expire_ms - self.use_ms, 0)

    def used(self, *, roles: Iterable[str], company_id: str, now_ms: int) -> Session:
        """The session after a Refresh."""
        return replace(self, roles=tuple(roles), company_id=company_id, use_ms=now_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """A secret that is exchanged once. It is signed, so that a guess is told from an old one."""

    session_id: str
    secret: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        """What is stored of it. 256 random bits need no salt and no slow hash."""
        return sha256(self.secret).hexdigest()

    @property
    def signed(self) -> bytes:
        """What the signature covers."""
        return self.session_id.encode() + b"." + self.secret

    def text(self, mac: Callable[[bytes], bytes]) -> str:
        """The token as clients have it."""
        signature = mac(self.signed)[:_MAC_BYTES].hex()
        return f"hfr_{self.session_id.removeprefix('ses_')}.{self.secret.hex()}.{signature}"

    def seal(self, token: str, random_bytes: Callable[[int], bytes]) -> str:
        """Encrypts the next token, so that only whoever shows this one can be given it again."""
        nonce = random_bytes(_NONCE_BYTES)
        sealed = AESGCM(self._sealing_key()).encrypt(nonce, token.encode(), None)
        return b64encode(nonce + sealed).decode()

    def open(self, sealed: str) -> str:
        """Decrypts what `seal` made."""
        content = b64decode(sealed)
        opened = AESGCM(self._sealing_key()).decrypt(
            content[:_NONCE_BYTES], content[_NONCE_BYTES:], None
        )
        return opened.decode()

    def _sealing_key(self) -> bytes:
        # Another hash than the stored one, from which nothing may be opened.
        return hmac.digest(self.secret, b"next refresh token", "sha256")


def new_refresh_token(session_id: str, random_bytes: Callable[[int], bytes]) -> RefreshToken:
    """A new secret for a session."""
    return RefreshToken(session_id=session_id, secret=random_bytes(_SECRET_BYTES))


def parse_refresh_token(text: str, macs: Callable[[bytes], Iterable[bytes]]) -> RefreshToken | None:
    """None unless one of our keys has signed it."""
    match = _TOKEN.fullmatch(text)
    if match is None:
        return None
    token = RefreshToken(session_id=f"ses_{match[1]}", secret=bytes.fromhex(match[2]))
    signature = bytes.fromhex(match[3])
    known = [mac[:_MAC_BYTES] for mac in macs(token.signed)]
    return token if any(hmac.compare_digest(signature, mac) for mac in known) else None
