"""Which ID tokens are believed, and which sign-in a state belongs to."""

from __future__ import annotations

import hmac
import os
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.oidc import (
    LEEWAY_S,
    Flow,
    Identity,
    Issuer,
    authorization_url,
    identity_in,
    is_flow,
    new_flow,
    new_flow_token,
    state_of,
)
from gateway.oidc_provider import is_safe
from runtime.errors import Unauthenticated

ISSUER = Issuer(
    name="example",
    url="https://id.example",
    client_id="holdfast",
    redirect_uris=("https://app.example/back",),
    registers=True,
)
NOW_S = 1_800_000_000
NONCE = "n" * 64
KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
PUBLIC = jwt.PyJWK(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True))


def _token(key: Any = KEY, algorithm: str = "RS256", **changes: Any) -> str:
    claims = {
        "iss": ISSUER.url,
        "aud": ISSUER.client_id,
        "sub": "ada",
        "nonce": NONCE,
        "iat": NOW_S,
        "exp": NOW_S + 300,
        **changes,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm)


def _read(token: str) -> Identity:
    return identity_in(token, PUBLIC, issuer=ISSUER, nonce=NONCE, now_s=NOW_S)


@pytest.mark.parametrize(
    ("changes", "identity"),
    [
        ({}, Identity(subject="ada")),
        ({"exp": NOW_S - LEEWAY_S + 1}, Identity(subject="ada")),
        ({"iat": NOW_S + LEEWAY_S}, Identity(subject="ada")),
        ({"aud": ["holdfast"], "azp": "holdfast"}, Identity(subject="ada")),
        ({"aud": ["holdfast", "other"], "azp": "holdfast"}, Identity(subject="ada")),
        (
            {"email": "ada@example.com", "email_verified": True, "name": "Ada"},
            Identity(subject="ada", email="ada@example.com", name="Ada"),
        ),
        # An address that is not verified is nobody's.
        ({"email": "ada@example.com"}, Identity(subject="ada")),
        ({"email": "ada@example.com", "email_verified": "true"}, Identity(subject="ada")),
        ({"email": "ada@example.com", "email_verified": 1}, Identity(subject="ada")),
        ({"email": ["ada@example.com"], "email_verified": True}, Identity(subject="ada")),
    ],
)
def test_a_valid_token_names_somebody(changes: dict[str, Any], identity: Identity) -> None:
    assert _read(_token(**changes)) == identity


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"iss": "https://id.example/"},
        {"aud": "other"},
        {"aud": None},
        {"aud": ["holdfast", "other"]},
        {"azp": "other"},
        {"nonce": "other"},
        {"nonce": None},
        {"exp": NOW_S - LEEWAY_S},
        {"exp": None},
        {"exp": True},
        {"iat": NOW_S + LEEWAY_S + 1},
        {"iat": None},
        {"nbf": NOW_S + LEEWAY_S + 1},
        {"sub": None},
        {"sub": ""},
        {"sub": "s" * 256},
    ],
)
def test_any_other_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated) as error:
        _read(_token(**changes))
    assert error.value.reason == "ID_TOKEN_INVALID"


def test_so_is_what_anybody_could_have_signed() -> None:
    # Signed with our public key, as if it were a shared secret; PyJWT would not do it for us.
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = _token("s" * 32, "HS256").rpartition(".")[0]
    signature = urlsafe_b64encode(hmac.digest(public, signed.encode(), "sha256"))
    for token in (
        _token(OTHER),
        _token(None, "none"),
        f"{signed}.{signature.rstrip(b'=').decode()}",
        _token(ec.generate_private_key(ec.SECP256R1()), "ES256"),
        _token()[:-4] + "AAAA",
        "junk",
        "",
    ):
        with pytest.raises(Unauthenticated):
            _read(token)


def test_a_state_opens_its_own_sign_in_only() -> None:
    tokens = [new_flow_token(bytes), new_flow_token(lambda count: b"1" * count)]
    assert is_flow(tokens[0], state_of(tokens[0]))
    assert not is_flow(tokens[0], state_of(tokens[1]))
    assert not is_flow("junk", state_of("junk"))
    assert not is_flow(tokens[0], "ä")


def test_the_issuer_is_asked_with_pkce_state_and_nonce() -> None:
    flow = new_flow(ISSUER, ISSUER.redirect_uris[0], os.urandom)
    assert Flow.parse(flow.serialized()) == flow
    url = authorization_url("https://id.example/auth?tenant=1", ISSUER, flow, "state")
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    challenge = urlsafe_b64encode(sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
    assert query == {
        "tenant": "1",
        "response_type": "code",
        "client_id": "holdfast",
        "redirect_uri": ISSUER.redirect_uris[0],
        "scope": "openid email profile",
        "state": "state",
        "nonce": flow.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    assert flow.verifier not in url


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://id.example", True),
        ("http://localhost:9400", True),
        ("http://127.0.0.1/x", True),
        ("http://id.example", False),
        ("http://localhost.example", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_issuers_are_asked_over_tls(*, url: str, safe: bool) -> None:
    assert is_safe(url) is safe
