from __future__ import annotations

import asyncio

import argon2
import grpc
import pytest

from gateway.session_store import (
    ADDRESS_ATTEMPTS,
    ANYWHERE_ATTEMPTS,
    USER_ATTEMPTS,
)
from holdfast.gateway.v1.session_service_pb2 import LoginRequest
from runtime.key_ring import SETTLE_MS
from tests.accounts_mesh import Refused, call, refused
from tests.gateway_mesh import ADDRESS, ANONYMOUS, CHEAP, EMAIL, PASSWORD, GatewayMesh, _from

WRONG = "wrong horse battery"


async def _refused(
    mesh: GatewayMesh, email: str = EMAIL, password: str = WRONG, *, address: str = ADDRESS
) -> Refused:
    request = LoginRequest(request_id=mesh.request_id(), email=email, password=password)
    return await refused(mesh.stub.Login, request, principal=ANONYMOUS, metadata=_from(address))


async def test_begins_a_session(mesh: GatewayMesh) -> None:
    user_id = await mesh.register()
    answer = await mesh.login(email="ADA@example.com")
    session = answer.session
    assert (session.user_id, list(session.roles), session.current) == (
        user_id,
        ["cardholder"],
        True,
    )
    # The address that Envoy saw, not the one that the caller claims to come from.
    assert session.address == ADDRESS
    assert session.id[4:6] == user_id[4:6]
    claims = mesh.claims(answer.tokens.access_token)
    assert claims["sub"] == user_id
    assert (claims["sid"], claims["roles"]) == (session.id, "cardholder")
    assert claims["exp"] - claims["iat"] == answer.tokens.expires_in_s == 300
    assert "mfa_time" not in claims
    assert await mesh.check.lives(session.id, mutates=True)


async def test_unknown_users_and_wrong_passwords_look_alike(
    mesh: GatewayMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answer for the same work, and so in about the same time: each verifies one hash of
    the same parameters.
    """
    await mesh.register()
    verify = argon2.PasswordHasher.verify
    worked: list[argon2.Parameters] = []

    def counting(hasher: argon2.PasswordHasher, stored: str, password: str) -> bool:
        worked.append(argon2.extract_parameters(stored))
        return verify(hasher, stored, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counting)
    for email in (EMAIL, "nobody@example.com"):
        answer = await _refused(mesh, email)
        assert (answer.code, answer.reason, answer.metadata) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "WRONG_CREDENTIALS",
            {},
        )
    known, unknown = worked
    assert known == unknown == CHEAP


async def test_waits_grow_and_success_ends_them(mesh: GatewayMesh) -> None:
    await mesh.register()
    for _ in range(USER_ATTEMPTS):
        assert (await _refused(mesh)).reason == "WRONG_CREDENTIALS"
    for wait_ms in (1_000, 2_000, 4_000, 8_000):
        early = await _refused(mesh, password=PASSWORD)
        assert (early.code, early.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "TOO_MANY_ATTEMPTS",
        )
        assert early.metadata == {"retry_after_ms": str(wait_ms)}
        mesh.clock.advance(wait_ms - 1)
        assert (await _refused(mesh)).metadata == {"retry_after_ms": "1"}
        mesh.clock.advance(1)
        assert (await _refused(mesh)).reason == "WRONG_CREDENTIALS"
    mesh.clock.advance(16_000)
    await mesh.login()
    assert (await _refused(mesh)).reason == "WRONG_CREDENTIALS"


async def test_who_guesses_elsewhere_keeps_nobody_out(mesh: GatewayMesh) -> None:
    """Goal: an attacker who takes each attempt as soon as there is one does not take the victim's,
    who has never been seen. Method: six hours of it; the victim signs in each half hour, elsewhere.
    """
    await mesh.register()
    tried = 0
    for minute in range(6 * 60):
        for _ in range(USER_ATTEMPTS + 1):
            tried += (await _refused(mesh, address="198.51.100.1")).reason == "WRONG_CREDENTIALS"
        if minute % 30 == 29:
            victim = LoginRequest(request_id=f"v-{minute}", email=EMAIL, password=PASSWORD)
            origin = _from(f"192.0.2.{minute % 250}")
            await call(mesh.stub.Login, victim, principal=ANONYMOUS, metadata=origin)
        mesh.clock.advance(60_000)
    assert tried < 6 * 60 / 5 + 30


async def test_a_crowd_of_guessers_is_slowed_and_known_places_are_not(mesh: GatewayMesh) -> None:
    """Goal: from many addresses a user can be guessed at only so often; where the user has signed
    in before, neither they nor somebody who spoils that address take the user's attempts.
    """
    await mesh.register()
    await mesh.login()
    await mesh.register(email="bob@example.com")
    for number in range(ADDRESS_ATTEMPTS):
        await _refused(mesh, f"user{number}@example.com")
    told = [(await _refused(mesh, address=f"198.51.100.{n}")).reason for n in range(200)]
    assert told.count("WRONG_CREDENTIALS") == ANYWHERE_ATTEMPTS
    assert (await _refused(mesh, "bob@example.com")).reason == "TOO_MANY_ATTEMPTS"
    await mesh.login()
    for _ in range(USER_ATTEMPTS):
        assert (await _refused(mesh)).reason == "WRONG_CREDENTIALS"
    assert (await _refused(mesh)).reason == "TOO_MANY_ATTEMPTS"


async def test_signing_in_from_a_known_place_buys_no_guesses(mesh: GatewayMesh) -> None:
    """Only what an attempt has counted is taken back: else whoever has a user could guess on."""
    await mesh.register()
    await mesh.login()
    for number in range(ADDRESS_ATTEMPTS):
        await _refused(mesh, f"user{number}@example.com")
        await mesh.login()
    assert (await _refused(mesh, "another@example.com")).reason == "TOO_MANY_ATTEMPTS"


async def test_hosts_of_one_ipv6_customer_are_one_address(mesh: GatewayMesh) -> None:
    await mesh.register()
    told = [(await _refused(mesh, address=f"2001:db8::{n + 1:x}")).reason for n in range(9)]
    assert told.count("WRONG_CREDENTIALS") == USER_ATTEMPTS


async def test_guesses_made_side_by_side_count(mesh: GatewayMesh) -> None:
    """Each attempt is counted before it is made: no burst gets more than the free ones."""
    await mesh.register()
    answers = await asyncio.gather(*(_refused(mesh) for _ in range(20)))
    reasons = [answer.reason for answer in answers]
    assert reasons.count("WRONG_CREDENTIALS") == USER_ATTEMPTS


async def test_one_address_cannot_try_many_users(mesh: GatewayMesh) -> None:
    for number in range(ADDRESS_ATTEMPTS):
        assert (await _refused(mesh, f"user{number}@example.com")).reason == "WRONG_CREDENTIALS"
    assert (await _refused(mesh, "another@example.com")).reason == "TOO_MANY_ATTEMPTS"
    await mesh.register()
    assert (await _refused(mesh, address="198.51.100.1")).reason == "WRONG_CREDENTIALS"


async def test_a_repeated_login_replaces_its_session(mesh: GatewayMesh) -> None:
    await mesh.register()
    first = await mesh.login(request_id="l-1")
    second = await mesh.login(request_id="l-1")
    third = await mesh.login(request_id="l-2")
    assert not await mesh.check.lives(first.session.id, mutates=True)
    assert await mesh.check.lives(second.session.id, mutates=True)
    assert await mesh.check.lives(third.session.id, mutates=True)


async def test_follows_newer_keys_and_parameters(mesh: GatewayMesh) -> None:
    """The hashes of an address are renewed at sign-in; until then the older key finds it."""
    await mesh.register()
    before = await mesh.pool.fetchrow("SELECT email_hash, email_key, version FROM credential")
    added = mesh.rings.emails.rotate()
    mesh.clock.advance(2 * SETTLE_MS)
    await mesh.login()
    after = await mesh.pool.fetchrow("SELECT email_hash, email_key, version FROM credential")
    assert (after["email_key"], after["version"]) == (added.id, before["version"])
    assert after["email_hash"] != before["email_hash"]
    await mesh.login()


async def test_old_sessions_end_when_there_are_too_many(mesh: GatewayMesh) -> None:
    await mesh.register()
    first = await mesh.login()
    for _ in range(50):
        mesh.clock.advance(1)
        await mesh.login()
    assert not await mesh.check.lives(first.session.id, mutates=True)
    assert len(await mesh.sessions.of_user(first.session.user_id)) == 50


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"request_id": "", "email": EMAIL, "password": PASSWORD}, "request_id"),
        ({"request_id": "r", "email": "x", "password": PASSWORD}, "email"),
        ({"request_id": "r", "email": EMAIL, "password": ""}, "password"),
        ({"request_id": "r", "email": EMAIL, "password": "x" * 1025}, "password"),
    ],
)
async def test_names_what_is_wrong(mesh: GatewayMesh, fields: dict[str, str], wrong: str) -> None:
    answer = await refused(mesh.stub.Login, LoginRequest(**fields), principal=ANONYMOUS)
    assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [wrong])
