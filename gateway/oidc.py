"""Third-party sign-in: what an issuer is asked, and what of its answer is believed. No I/O."""

from __future__ import annotations

import hmac
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt

from runtime.errors import Unauthenticated

#: Signatures with a public key only: with `none` or a shared secret anybody could sign.
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
#: How far an issuer's clock may be from ours.
LEEWAY_S = 30
#: What is asked of every issuer.
SCOPES = "openid email profile"

_TOKEN_BYTES = 32
_TOKEN = re.compile(r"hff_[0-9a-f]{64}")
_SUBJECT_LENGTH_MAX = 255
_NAME_LENGTH_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An issuer as it is configured."""

    name: str
    #: Its identifier, as it stands in `iss`.
    url: str
    client_id: str
    redirect_uris: tuple[str, ...]
    #: Whether it may make new users.
    registers: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whom an issuer names. Only the subject says who it is."""

    subject: str
    #: Verified by the issuer; '': it names none that is.
    email: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A sign-in under way, between its two steps."""

    issuer: str
    redirect_uri: str
    nonce: str = field(repr=False)
    #: PKCE (RFC 7636): only who has this can exchange the code.
    verifier: str = field(repr=False)
    #: Set once the issuer has named the user: the code is used up by then.
    identity: Identity | None = None
    #: The request that a session was begun for; only it may repeat itself.
    request_id: str = ""

    def serialized(self) -> bytes:
        """For keeping, sealed."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, content: bytes) -> Flow:
        """Reads what `serialized` wrote."""
        fields = json.loads(content)
        identity = fields.pop("identity")
        return cls(identity=Identity(**identity) if identity else None, **fields)


def new_flow_token(random_bytes: Callable[[int], bytes]) -> str:
    """A secret of the client that begins."""
    return f"hff_{random_bytes(_TOKEN_BYTES).hex()}"


def state_of(flow_token: str) -> str:
    """What travels through the user's browser. It follows from the flow token: a state that was put
    upon somebody else's browser opens nothing there.
    """
    return sha256(flow_token.encode()).hexdigest()


def is_flow(flow_token: str, state: str) -> bool:
    """Whether both are of one flow."""
    return bool(_TOKEN.fullmatch(flow_token)) and hmac.compare_digest(
        state_of(flow_token).encode(), state.encode()
    )


def new_flow(issuer: Issuer, redirect_uri: str, random_bytes: Callable[[int], bytes]) -> Flow:
    """A new sign-in."""
    return Flow(
        issuer=issuer.name,
        redirect_uri=redirect_uri,
        nonce=random_bytes(_TOKEN_BYTES).hex(),
        verifier=random_bytes(_TOKEN_BYTES).hex(),
    )


def authorization_url(endpoint: str, issuer: Issuer, flow: Flow, state: str) -> str:
    """Where the user is sent."""
    challenge = urlsafe_b64encode(sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
    query = urlencode(
        {
            "response_type": "code",
            "client_id": issuer.client_id,
            "redirect_uri": flow.redirect_uri,
            "scope": SCOPES,
            "state": state,
            "nonce": flow.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
    )
    return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{query}"


def identity_in(
    id_token: str, key: jwt.PyJWK, *, issuer: Issuer, nonce: str, now_s: int
) -> Identity:
    """Whom a valid ID token names. Raises Unauthenticated on any other (OpenID Connect Core
    §3.1.3.7).
    """
    try:
        claims = jwt.decode(
            id_token,
            key,
            algorithms=list(ALGORITHMS),
            audience=issuer.client_id,
            issuer=issuer.url,
            options={
                "require": ["iss", "aud", "exp", "iat", "sub", "nonce"],
                # Times are checked below, by our own clock.
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except jwt.PyJWTError as error:
        raise invalid(type(error).__name__) from None
    _check_times(claims, now_s)
    if not hmac.compare_digest(str(claims["nonce"]).encode(), nonce.encode()):
        raise invalid("nonce")
    audiences = claims["aud"]
    if isinstance(audiences, list) and len(audiences) > 1 and "azp" not in claims:
        raise invalid("azp")
    if "azp" in claims and claims["azp"] != issuer.client_id:
        raise invalid("azp")
    if not 0 < len(claims["sub"]) <= _SUBJECT_LENGTH_MAX:
        raise invalid("sub")
    return _identity(claims)


def invalid(because: str) -> Unauthenticated:
    """The one answer to whoever brings an ID token that is not believed."""
    return Unauthenticated(
        "the issuer's ID token is not valid",
        reason="ID_TOKEN_INVALID",
        metadata={"because": because},
    )


def _check_times(claims: Mapping[str, Any], now_s: int) -> None:
    for name in ("exp", "iat", "nbf"):
        value = claims.get(name, now_s)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise invalid(name)
        passed = now_s >= value + LEEWAY_S if name == "exp" else value > now_s + LEEWAY_S
        if passed:
            raise invalid(name)


def _identity(claims: Mapping[str, Any]) -> Identity:
    # Some issuers write the claim as text; anything but a plain yes is a no.
    verified = claims.get("email_verified") is True
    email, name = claims.get("email"), claims.get("name")
    return Identity(
        subject=claims["sub"],
        email=email if verified and isinstance(email, str) else "",
        name=name[:_NAME_LENGTH_MAX] if isinstance(name, str) else "",
    )
