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
from gateway.store import KEYS_MAX, KeyFolder
from runtime.clock import ManualClock

NOW_MS = 1_800_000_000_000
CLAIMS = tokens.Claims(
    issuer="https://holdfast.local",
    audience="holdfast-edge",
    subject="usr_alice",
    roles=("admin", "auditor"),
    token_id="t1",
)


def _key(created_ms: int) -> tokens.TokenKey:
    return tokens.new_key(now_ms=created_ms, random_bytes=lambda count: b"\x01" * count)


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
    old, current = _key(NOW_MS - 10 * tokens.PUBLISH_MS), _key(NOW_MS - tokens.PUBLISH_MS)
    fresh = _key(NOW_MS - tokens.PUBLISH_MS + 1)
    assert tokens.signing_key([fresh, old, current], now_ms=NOW_MS) is current
    # Of an installation a second old, nobody has fetched keys before the first one was there.
    assert tokens.signing_key([fresh], now_ms=NOW_MS) is fresh
    newer = _key(NOW_MS)
    assert tokens.signing_key([newer, fresh], now_ms=NOW_MS) is fresh


def test_coordinates_keep_their_leading_zeroes() -> None:
    for _ in range(300):
        jwk = tokens.public_jwk(_key(NOW_MS))
        assert len(base64.urlsafe_b64decode(jwk.x + "=")) == 32
        assert len(base64.urlsafe_b64decode(jwk.y + "=")) == 32


def test_a_key_does_not_print_itself() -> None:
    assert "private" not in repr(_key(NOW_MS)).lower()


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_keys_are_private_and_stay(tmp_path: Path) -> None:
    path = tmp_path / "token-keys"
    folder = KeyFolder(path, ManualClock())
    folder.ensure_key()
    folder.ensure_key()
    (key,) = folder.read()
    (file,) = path.glob("*.pem")
    assert file.stem == key.kid
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (again,) = KeyFolder(path, ManualClock()).read()
    assert tokens.public_jwk(again) == tokens.public_jwk(key)


def test_keys_that_come_and_go_are_noticed(tmp_path: Path) -> None:
    clock = ManualClock()
    folder = KeyFolder(tmp_path / "keys", clock)
    folder.ensure_key()
    (first,) = folder.read()
    later = tokens.new_key(now_ms=clock.now_ms() + 1, random_bytes=lambda n: b"\x02" * n)
    (tmp_path / "keys" / f"{later.kid}.pem").write_bytes(tokens.private_pem(later))
    assert [key.kid for key in folder.read()] == [first.kid, later.kid]
    (tmp_path / "keys" / f"{first.kid}.pem").unlink()
    assert [key.kid for key in folder.read()] == [later.kid]


def test_broken_keys_do_not_take_the_others_down(tmp_path: Path) -> None:
    clock = ManualClock()
    folder = KeyFolder(tmp_path / "keys", clock)
    folder.ensure_key()
    (good,) = folder.read()
    broken = {
        "0" * 12 + "-" + "0" * 16: b"junk",
        "0" * 12 + "-" + "1" * 16: b"",
        "0" * 12 + "-" + "2" * 16: _pem(rsa.generate_private_key(65537, 2048)),
        "0" * 12 + "-" + "3" * 16: _pem(ec.generate_private_key(ec.SECP384R1())),
        "not-a-key-id": tokens.private_pem(good),
    }
    for name, content in broken.items():
        (tmp_path / "keys" / f"{name}.pem").write_bytes(content)
    assert [key.kid for key in folder.read()] == [good.kid]


def test_the_key_set_is_bounded(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path, ManualClock())
    for number in range(KEYS_MAX + 2):
        key = _key(NOW_MS + number)
        (tmp_path / f"{key.kid}.pem").write_bytes(tokens.private_pem(key))
    keys = folder.read()
    assert len(keys) == KEYS_MAX
    assert keys[-1].created_ms == NOW_MS + KEYS_MAX + 1
