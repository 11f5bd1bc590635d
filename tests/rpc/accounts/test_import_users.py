"""ImportUsers: many at once, nobody twice, each wrong row named."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import grpc

from accounts.person_keys import person_keys
from accounts.user_import import IMPORT_MAX, prepared
from holdfast.accounts.v1 import user_import_pb2, user_search_pb2
from holdfast.accounts.v1 import user_service_pb2 as pb
from holdfast.accounts.v1.user_pb2 import VIEW_FULL, User
from runtime.clock import ManualClock
from runtime.secrets import FileSecrets
from tests.accounts_mesh import AccountsMesh, call, call_replayed, refused

ADMIN = (("x-auth-roles", "admin"),)
AUDITOR = (("x-auth-roles", "auditor"),)
CREATED = user_import_pb2.ImportedUserResult.OUTCOME_CREATED
EXISTED = user_import_pb2.ImportedUserResult.OUTCOME_EXISTED
REFUSED = user_import_pb2.ImportedUserResult.OUTCOME_REFUSED


def person(number: int, **fields: Any) -> user_import_pb2.ImportedUser:
    valid: dict[str, Any] = {
        "reference": f"old-{number}",
        "name": f"Person {number}",
        "email": f"p{number}@example.com",
    }
    return user_import_pb2.ImportedUser(**(valid | fields))


async def imported(
    mesh: AccountsMesh, *people: user_import_pb2.ImportedUser, dry: bool = False
) -> list[user_import_pb2.ImportedUserResult]:
    request = user_import_pb2.ImportUsersRequest(
        request_id=mesh.request_id(), users=people, validate_only=dry
    )
    return list((await call(mesh.users.ImportUsers, request)).results)


async def test_makes_many_people_sealed_each_with_a_key(mesh: AccountsMesh) -> None:
    full = {"phone": "+12125550123", "tax_id": "123-45-6789", "birth_date": "1990-12-10"}
    results = await imported(mesh, person(1, verified=True, **full), *map(person, range(2, 101)))
    assert {result.outcome for result in results} == {CREATED}
    assert len({result.user_id for result in results}) == 100
    rows = await mesh.pool.fetch("SELECT key_wrapped, name FROM person")
    assert len({row["key_wrapped"] for row in rows}) == 100
    request = pb.GetUserRequest(user_id=results[0].user_id, view=VIEW_FULL)
    user = (await call(mesh.users.GetUser, request, metadata=ADMIN)).user
    assert (user.state, user.version, user.tax_id) == (User.STATE_ACTIVE, 1, "123-45-6789")
    assert user.HasField("verify_time")
    request.user_id = results[1].user_id
    user = (await call(mesh.users.GetUser, request, metadata=ADMIN)).user
    assert (user.state, user.email) == (User.STATE_UNVERIFIED, "p2@example.com")
    named = await mesh.pool.fetch(
        "SELECT targets FROM audit.entry WHERE method LIKE '%ImportUsers'"
    )
    told = [target for row in named for target in row["targets"]]
    assert sorted(told) == sorted(result.user_id for result in results)
    dump = repr([bytes(row["name"]) for row in rows])
    assert "Person" not in dump


async def test_nobody_is_made_twice(mesh: AccountsMesh) -> None:
    """Other pieces of the same file, side by side, after a turn of the keys; who was erased stays
    erased.
    """
    first = await imported(mesh, person(1), person(2), person(1, name="Twice"))
    assert [one.outcome for one in first] == [CREATED, CREATED, EXISTED]
    assert first[0].user_id == first[2].user_id
    mesh.person_keys.references.rotate()
    mesh.person_keys.search.rotate()
    mesh.clock.advance(61_000)
    people = [person(number) for number in range(1, 41)]
    every = await asyncio.gather(imported(mesh, *people), imported(mesh, *reversed(people)))
    outcomes = [one.outcome for one in (*every[0], *every[1])]
    assert (outcomes.count(CREATED), outcomes.count(EXISTED)) == (38, 42)
    assert await mesh.count("person") == 40
    for name in ("CloseUser", "EraseUser"):
        request = getattr(pb, f"{name}Request")(
            request_id=mesh.request_id(), user_id=first[0].user_id
        )
        await call(getattr(mesh.users, name), request)
    (again,) = await imported(mesh, person(1))
    assert (again.outcome, again.user_id) == (EXISTED, first[0].user_id)
    row = await mesh.pool.fetchrow("SELECT email FROM person WHERE id = $1", again.user_id)
    assert row["email"] is None


async def test_wrong_people_are_named_and_the_others_made(mesh: AccountsMesh) -> None:
    results = await imported(
        mesh, person(1), person(2, email="x", phone="y"), person(3, reference="a@b"), person(4)
    )
    assert [one.outcome for one in results] == [CREATED, REFUSED, REFUSED, CREATED]
    assert [one.field for one in results[1].violations] == ["email", "phone"]
    assert [one.field for one in results[2].violations] == ["reference"]
    assert not results[1].user_id
    assert await mesh.count("person") == 2


async def test_nobody_is_verified_of_whom_nothing_could_be_checked(mesh: AccountsMesh) -> None:
    """As VerifyUser refuses it; a rehearsal says so, too."""
    born, taxed = {"birth_date": "1990-12-10"}, {"tax_id": "123-45-6789"}
    people = [
        person(1, verified=True),
        person(2, verified=True, **born),
        person(3, verified=True, **taxed),
        person(4, verified=True, **born, **taxed),
        person(5),
    ]
    for dry in (True, False):
        results = await imported(mesh, *people, dry=dry)
        assert [[one.field for one in result.violations] for result in results] == [
            ["birth_date", "tax_id"],
            ["tax_id"],
            ["birth_date"],
            [],
            [],
        ]
    states = await mesh.pool.fetch("SELECT state FROM person ORDER BY state")
    assert [row["state"] for row in states] == ["ACTIVE", "UNVERIFIED"]


async def test_a_rehearsal_makes_nobody(mesh: AccountsMesh) -> None:
    await imported(mesh, person(1))
    results = await imported(mesh, person(1), person(2), person(3, name=""), person(2), dry=True)
    assert [one.outcome for one in results] == [EXISTED, CREATED, REFUSED, EXISTED]
    assert await mesh.count("person") == 1
    assert (await imported(mesh, person(2)))[0] == results[1]


async def test_replay_reuse_and_size(mesh: AccountsMesh) -> None:
    request = user_import_pb2.ImportUsersRequest(
        request_id="i-1", users=[person(1), person(2, email="")]
    )
    first = await call(mesh.users.ImportUsers, request)
    assert await call_replayed(mesh.users.ImportUsers, request) == (first, True)
    request.users[0].name = "Eve"
    error = await refused(mesh.users.ImportUsers, request)
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    for people in ([], [person(number) for number in range(501)]):
        wrong = user_import_pb2.ImportUsersRequest(request_id="i-2", users=people)
        error = await refused(mesh.users.ImportUsers, wrong)
        assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["users"])


async def test_people_are_found_by_reference(mesh: AccountsMesh) -> None:
    (made,) = await imported(mesh, person(1))
    request = user_search_pb2.SearchUsersRequest(reference="old-1")
    (found,) = (await call(mesh.users.SearchUsers, request)).users
    assert found.id == made.user_id
    request.reference = "old-2"
    assert not (await call(mesh.users.SearchUsers, request)).users


async def test_listing_in_full_is_for_administrators_and_recorded(mesh: AccountsMesh) -> None:
    await imported(mesh, *map(person, range(3)))
    request = pb.ListUsersRequest(view=VIEW_FULL, page_size=2)
    error = await refused(mesh.users.ListUsers, request, metadata=AUDITOR)
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "VIEW_NOT_ALLOWED")
    assert await mesh.count("person_reveal") == 0
    found = (await call(mesh.users.ListUsers, request, metadata=ADMIN)).users
    assert not any(user.masked for user in found)
    shown = await mesh.pool.fetch("SELECT user_id, method FROM person_reveal")
    assert {row["user_id"] for row in shown} == {user.id for user in found}
    assert {row["method"] for row in shown} == {"ListUsers"}


async def test_others_are_answered_meanwhile(tmp_path: Path) -> None:
    """Goal: while hundreds are sealed, no other call waits for all of them. Method: count how often
    others have their turn, which does not depend on how fast the machine is.
    """
    keys, turns = person_keys(FileSecrets(tmp_path), ManualClock()), 0
    request = user_import_pb2.ImportUsersRequest(users=map(person, range(IMPORT_MAX)))
    running = asyncio.create_task(
        prepared(request, keys, now_ms=ManualClock().now_ms(), today=date(2026, 1, 1))
    )
    while not running.done():
        await asyncio.sleep(0)
        turns += 1
    assert len((await running).rows) == IMPORT_MAX
    assert turns > IMPORT_MAX // 20
