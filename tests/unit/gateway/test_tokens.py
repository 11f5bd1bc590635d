"""Token keys and tokens: format, which key signs, what is refused."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway import tokens
from gateway.token_keys import UNUSED_MS, TokenKeys
from runtime.clock import ManualClock
from runtime.key_ring import KeyRing
from runtime.secrets import secrets_of
from runtime.settings import Settings

NOW_MS = 1_800_000_000_000
PUBLISH_MS = 120_000
CLAIMS = tokens.Claims(
    issuer="https://holdfast.local",
    audience="holdfast-edge",
    subject="usr_alice",
    roles=("admin", "auditor"),
    token_id="t1",
)


def _key(created_ms: int) -> tokens.TokenKey:
    return tokens.parse_key(f"{created_ms:012x}-{'0' * 16}", tokens.new_private_key())


def test_a_token_says_all_that_envoy_checks() -> None:
    key = _key(NOW_MS)
    token = tokens.sign_token(key, CLAIMS, now_ms=NOW_MS, lifetime_s=300)
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": key.kid, "typ": "JWT"}
    claims = jwt.decode(
        token,
        key.private_key.public_key(),
        algorithms=["ES256"],
        audience="holdfast-edge",
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    now_s = NOW_MS // 1000
    assert claims == {
        "iss": "https://holdfast.local",
        "aud": "holdfast-edge",
        "sub": "usr_alice",
        "roles": "admin auditor",
        "iat": now_s,
        "nbf": now_s,
        "exp": now_s + 300,
        "jti": "t1",
    }


@pytest.mark.parametrize(
    ("subject", "roles", "lifetime_s", "message"),
    [
        ("", ("admin",), 300, "subject"),
        ("alice", ("admin",), 300, "subject"),
        ("spiffe://holdfast.local/network/demo", ("admin",), 300, "subject"),
        ("anonymous", ("admin",), 300, "subject"),
        ("usr_" + "a" * 65, ("admin",), 300, "subject"),
        ("usr_a\n", ("admin",), 300, "subject"),
        ("usr_a", (), 300, "roles"),
        ("usr_a", ("root",), 300, "roles"),
        ("usr_a", ("anonymous",), 300, "roles"),
        ("usr_a", ("admin",), 0, "lifetime"),
        ("usr_a", ("admin",), -1, "lifetime"),
        ("usr_a", ("admin",), 3601, "lifetime"),
    ],
)
def test_what_is_not_signed(
    subject: str, roles: tuple[str, ...], lifetime_s: int, message: str
) -> None:
    claims = tokens.Claims(issuer="i", audience="a", subject=subject, roles=roles, token_id="t")
    with pytest.raises(ValueError, match=message):
        tokens.sign_token(_key(NOW_MS), claims, now_ms=NOW_MS, lifetime_s=lifetime_s)


def test_the_newest_key_that_checkers_know_signs() -> None:
    old, current = _key(NOW_MS - 10 * PUBLISH_MS), _key(NOW_MS - PUBLISH_MS)
    fresh = _key(NOW_MS - PUBLISH_MS + 1)
    assert (
        tokens.signing_key([fresh, old, current], now_ms=NOW_MS, publish_ms=PUBLISH_MS) is current
    )
    # Of an installation a second old, nobody has fetched keys before the first one was there.
    assert tokens.signing_key([fresh], now_ms=NOW_MS, publish_ms=PUBLISH_MS) is fresh
    newer = _key(NOW_MS)
    assert tokens.signing_key([newer, fresh], now_ms=NOW_MS, publish_ms=PUBLISH_MS) is fresh


def test_coordinates_keep_their_leading_zeroes() -> None:
    for _ in range(300):
        jwk = tokens.public_jwk(_key(NOW_MS))
        assert len(base64.urlsafe_b64decode(jwk.x + "=")) == 32
        assert len(base64.urlsafe_b64decode(jwk.y + "=")) == 32


def test_a_key_does_not_print_itself() -> None:
    assert "private" not in repr(_key(NOW_MS)).lower()


def _ring(settings: Settings, clock: ManualClock) -> TokenKeys:
    keys = TokenKeys(settings, clock)
    keys.ensure()
    return keys


def test_keys_are_private_and_stay(tmp_path: Path) -> None:
    settings, clock = Settings(home=tmp_path), ManualClock()
    (key,) = _ring(settings, clock).read()
    (again,) = _ring(settings, clock).read()
    assert tokens.public_jwk(again) == tokens.public_jwk(key)
    assert stat.S_IMODE((tmp_path / "secrets" / "token-keys").stat().st_mode) == 0o600


def test_a_new_key_signs_once_known_and_an_old_one_stays_while_its_tokens_live(
    tmp_path: Path,
) -> None:
    """Rotation is noticed by another process, and no step of it refuses a living token."""
    settings, clock = Settings(home=tmp_path), ManualClock()
    keys, operator = _ring(settings, clock), TokenKeys(settings, clock)
    (old,) = keys.read()
    clock.advance(1)
    new = operator.rotate()
    assert [key.kid for key in keys.read()] == [old.kid, new]
    assert keys.signing().kid == old.kid
    clock.advance(PUBLISH_MS - 1)
    assert keys.signing().kid == old.kid
    clock.advance(1)
    assert keys.signing().kid == new
    clock.advance(UNUSED_MS - 1)
    assert keys.prune() == ()
    clock.advance(1)
    assert keys.prune() == (old.kid,)
    assert [key.kid for key in operator.read()] == [new]
    clock.advance(10 * UNUSED_MS)
    assert keys.prune() == ()


def _der(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_broken_keys_do_not_take_the_others_down(tmp_path: Path) -> None:
    settings, clock = Settings(home=tmp_path), ManualClock()
    keys = _ring(settings, clock)
    (good,) = keys.read()
    for broken in (
        b"junk",
        b"",
        _der(rsa.generate_private_key(65537, 2048)),
        _der(ec.generate_private_key(ec.SECP384R1())),
    ):
        KeyRing(secrets_of(settings), "token-keys", clock, make=lambda: broken).rotate()  # noqa: B023
    assert [key.kid for key in keys.read()] == [good.kid]
