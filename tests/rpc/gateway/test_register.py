from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from holdfast.gateway.v1.session_service_pb2 import RegisterRequest
from runtime.key_ring import SETTLE_MS
from tests.accounts_mesh import Refused, call, call_replayed, refused
from tests.gateway_mesh import ADDRESS, ANONYMOUS, EMAIL, PASSWORD, GatewayMesh, _from


def _request(**fields: Any) -> RegisterRequest:
    good = {"request_id": "r-1", "email": EMAIL, "password": PASSWORD, "name": "Ada"}
    return RegisterRequest(**(good | fields))


async def _refused(mesh: GatewayMesh, **fields: Any) -> Refused:
    return await refused(mesh.stub.Register, _request(**fields), principal=ANONYMOUS)


async def test_registers_and_hands_the_profile_to_accounts(mesh: GatewayMesh) -> None:
    answer = await call(mesh.stub.Register, _request(email=" Ada@Example.COM"), principal=ANONYMOUS)
    (profile,) = mesh.accounts.profiles
    assert (profile.user_id, profile.email, profile.name) == (answer.user_id, EMAIL, "Ada")
    row = await mesh.pool.fetchrow("SELECT * FROM credential")
    assert (row["user_id"], row["roles"], row["state"]) == (
        answer.user_id,
        ["cardholder"],
        "ACTIVE",
    )
    assert row["password_hash"].startswith("$argon2id$")


async def test_stores_nothing_that_names_a_person(mesh: GatewayMesh) -> None:
    """Neither address nor password is in any table, also while accounts is down."""
    mesh.accounts.refusing = True
    await asyncio.gather(mesh.register(), asyncio.sleep(0))
    for table in ("credential", "request_record", "outbox"):
        for row in await mesh.pool.fetch(f"SELECT * FROM {table}"):
            stored = repr([bytes(value) if isinstance(value, bytes) else value for value in row])
            assert "example.com" not in stored
            assert PASSWORD not in stored
            assert "Ada" not in stored


async def test_profiles_arrive_when_accounts_is_back(mesh: GatewayMesh) -> None:
    mesh.accounts.refusing = True
    user_id = await mesh.register()
    assert mesh.accounts.profiles == []
    mesh.accounts.refusing = False
    assert await mesh.outbox.wait_delivered(user_id, timeout_s=5)
    assert [one.user_id for one in mesh.accounts.profiles] == [user_id]


async def test_replays(mesh: GatewayMesh) -> None:
    first = await call(mesh.stub.Register, _request(), principal=ANONYMOUS)
    # Fingerprints are keyed; a rotation in between changes nothing.
    mesh.rings.requests.rotate()
    mesh.clock.advance(2 * SETTLE_MS)
    answer, replayed = await call_replayed(mesh.stub.Register, _request())
    assert (answer.user_id, replayed) == (first.user_id, True)
    other = await _refused(mesh, name="Bob")
    assert (other.code, other.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_an_address_registers_once(mesh: GatewayMesh) -> None:
    """Also side by side, and after the key of its hash was replaced."""
    answers = await asyncio.gather(*(mesh.register() for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(answer, str) for answer in answers) == 1
    mesh.rings.emails.rotate()
    mesh.clock.advance(2 * SETTLE_MS)
    again = await _refused(mesh, request_id="r-2")
    assert (again.code, again.reason) == (grpc.StatusCode.ALREADY_EXISTS, "EMAIL_TAKEN")


async def test_asking_who_is_registered_gets_slow(mesh: GatewayMesh) -> None:
    await mesh.register()
    reasons = []
    for number in range(40):
        answer = await refused(
            mesh.stub.Register,
            _request(request_id=f"r-{number}", email=EMAIL),
            principal=ANONYMOUS,
            metadata=_from(ADDRESS),
        )
        reasons.append(answer.reason)
    assert reasons[0] == "EMAIL_TAKEN"
    assert reasons[-1] == "TOO_MANY_ATTEMPTS"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"request_id": ""}, "request_id"),
        ({"email": ""}, "email"),
        ({"email": "ada"}, "email"),
        ({"email": "ada@example"}, "email"),
        ({"email": "a b@example.com"}, "email"),
        ({"email": "a" * 250 + "@example.com"}, "email"),
        ({"password": ""}, "password"),
        ({"password": "short pass."}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"password": "aaaaaaaaaaaaaaaa"}, "password"),
        ({"email": "correct@example.com"}, "password"),
        ({"name": ""}, "name"),
        ({"name": "A\nB"}, "name"),
        ({"name": "A" * 129}, "name"),
    ],
)
async def test_names_what_is_wrong(mesh: GatewayMesh, fields: dict[str, str], wrong: str) -> None:
    answer = await _refused(mesh, **fields)
    assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [wrong])
