"""Access tokens and the keys that sign them. Pure: files, clock and settings are the caller's."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from runtime.access import TOKEN_ROLES
from runtime.tokens import TOKEN_LIFETIME_S_MAX

ALGORITHM = "ES256"

_COORDINATE_BYTES = 32
#: An id with a prefix. Never a SPIFFE id: a token must not name a card network.
_SUBJECT = re.compile(r"[a-z]{2,8}_[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """One signing key. Its id says when it was made."""

    kid: str
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def created_ms(self) -> int:
        """When the key was made, and so published."""
        return int(self.kid[:12], 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicJwk:
    """The public half of a key (RFC 7517, RFC 7518 §6.2)."""

    kid: str
    x: str
    y: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says besides its times."""

    issuer: str
    audience: str
    subject: str
    roles: tuple[str, ...]
    token_id: str
    #: The session it belongs to; tokens of operators have none.
    session_id: str = ""
    #: The company of a manager.
    company_id: str = ""
    #: When the user last showed a second factor; 0: never in this session.
    mfa_time_s: int = 0

    @property
    def optional(self) -> dict[str, str]:
        """What only some tokens say. Text: Envoy hands claims on as headers."""
        found = {
            "sid": self.session_id,
            "company": self.company_id,
            "mfa_time": str(self.mfa_time_s or ""),
        }
        return {name: value for name, value in found.items() if value}


def new_private_key() -> bytes:
    """A new key as the key ring holds it (PKCS #8, DER)."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def parse_key(kid: str, der: bytes) -> TokenKey:
    """Reads a key; ValueError if it is not a P-256 private key."""
    private_key = serialization.load_der_private_key(der, password=None)
    if isinstance(private_key, ec.EllipticCurvePrivateKey) and isinstance(
        private_key.curve, ec.SECP256R1
    ):
        return TokenKey(kid=kid, private_key=private_key)
    raise ValueError(f"token key {kid} is not an elliptic-curve key on P-256")


def public_jwk(key: TokenKey) -> PublicJwk:
    """The public half, as checkers read it."""
    numbers = key.private_key.public_key().public_numbers()
    return PublicJwk(kid=key.kid, x=_coordinate(numbers.x), y=_coordinate(numbers.y))


def signing_key(keys: Sequence[TokenKey], *, now_ms: int, publish_ms: int) -> TokenKey:
    """The newest key that checkers surely know, because it was published `publish_ms` ago; the
    oldest while all are new.
    """
    assert keys, "a key is made before anything is signed"
    oldest_first = sorted(keys, key=lambda key: key.kid)
    known = [key for key in oldest_first if key.created_ms + publish_ms <= now_ms]
    return known[-1] if known else oldest_first[0]


def sign_token(key: TokenKey, claims: Claims, *, now_ms: int, lifetime_s: int) -> str:
    """An access token (RFC 9068 in spirit). ValueError names what is wrong."""
    if _SUBJECT.fullmatch(claims.subject) is None:
        raise ValueError(f"subject {claims.subject!r} is no id such as usr_…")
    unknown = sorted(set(claims.roles) - set(TOKEN_ROLES))
    if unknown or not claims.roles:
        raise ValueError(f"roles {unknown or 'missing'}: choose from {', '.join(TOKEN_ROLES)}")
    if not 0 < lifetime_s <= TOKEN_LIFETIME_S_MAX:
        raise ValueError(f"lifetime {lifetime_s} s: choose 1 to {TOKEN_LIFETIME_S_MAX} s")
    now_s = now_ms // 1000
    payload = {
        "iss": claims.issuer,
        "aud": claims.audience,
        "sub": claims.subject,
        "roles": " ".join(claims.roles),
        "iat": now_s,
        "nbf": now_s,
        "exp": now_s + lifetime_s,
        "jti": claims.token_id,
        **claims.optional,
    }
    return jwt.encode(payload, key.private_key, algorithm=ALGORITHM, headers={"kid": key.kid})


def _coordinate(value: int) -> str:
    raw = value.to_bytes(_COORDINATE_BYTES, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
