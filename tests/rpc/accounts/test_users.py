"""UserService: answers, replays, what is shown to whom, and every refusal."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from holdfast.accounts.v1 import user_export_pb2, user_search_pb2
from holdfast.accounts.v1 import user_service_pb2 as pb
from holdfast.accounts.v1.user_pb2 import VIEW_FULL, Address, User
from tests.accounts_mesh import AccountsMesh, call, call_replayed, refused

ADMIN = (("x-auth-roles", "admin"),)
AUDITOR = (("x-auth-roles", "auditor"),)
EMAIL, PHONE, SSN = "ada@example.com", "+12125550123", "123-45-6789"
UNKNOWN_USER = "usr_0a" + "9" * 32
ADDRESS = Address(
    line1="1 Main St", city="Troy", region="NY", postal_code="12180", country_code="US"
)


def creation(**fields: Any) -> pb.CreateUserRequest:
    valid: dict[str, Any] = {
        "request_id": "r-1",
        "name": "Ada Byron",
        "email": EMAIL,
        "phone": PHONE,
        "address": ADDRESS,
        "birth_date": "1990-12-10",
        "tax_id": SSN,
    }
    return pb.CreateUserRequest(**(valid | fields))


async def create(mesh: AccountsMesh, **fields: Any) -> User:
    request = creation(**({"request_id": mesh.request_id()} | fields))
    user: User = (await call(mesh.users.CreateUser, request)).user
    return user


async def move(mesh: AccountsMesh, name: str, user_id: str) -> User:
    request = getattr(pb, f"{name}Request")(request_id=mesh.request_id(), user_id=user_id)
    answer = await call(getattr(mesh.users, name), request)
    return answer.user if name != "DeleteUser" else User()


async def refusal(mesh: AccountsMesh, name: str, user_id: str) -> tuple[grpc.StatusCode, str]:
    request = getattr(pb, f"{name}Request")(request_id=mesh.request_id(), user_id=user_id)
    error = await refused(getattr(mesh.users, name), request)
    return error.code, error.reason


async def full(mesh: AccountsMesh, user_id: str) -> User:
    request = pb.GetUserRequest(user_id=user_id, view=VIEW_FULL)
    user: User = (await call(mesh.users.GetUser, request, metadata=ADMIN)).user
    return user


async def test_creates_a_person_who_is_masked_and_sealed(mesh: AccountsMesh) -> None:
    user = await create(mesh)
    assert (user.state, user.version, user.masked) == (User.STATE_UNVERIFIED, 1, True)
    assert (user.name, user.email, user.phone) == ("Ada Byron", "a***@example.com", "***0123")
    assert (user.birth_date, user.tax_id) == ("", "***6789")
    assert user.address == Address(region="NY", country_code="US")
    shown = await full(mesh, user.id)
    assert (shown.email, shown.phone, shown.tax_id) == (EMAIL, PHONE, SSN)
    assert (shown.birth_date, shown.address, shown.masked) == ("1990-12-10", ADDRESS, False)
    (row,) = await mesh.pool.fetch("SELECT * FROM person_reveal")
    assert (row["user_id"], row["principal"], row["method"]) == (user.id, "tester", "GetUser")


async def test_the_gateway_brings_its_own_id(mesh: AccountsMesh) -> None:
    given = "usr_11" + "7" * 32
    request = pb.CreateUserRequest(request_id="r", user_id=given, email=EMAIL, name="Ada")
    first = await call(mesh.users.CreateUser, request)
    assert first.user.id == given
    again, replayed = await call_replayed(mesh.users.CreateUser, request)
    assert (again, replayed) == (first, True)
    request.request_id = "r-2"
    error = await refused(mesh.users.CreateUser, request)
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "USER_EXISTS")


async def test_replay_and_reuse_outlive_a_turn_of_keys(mesh: AccountsMesh) -> None:
    first = await call(mesh.users.CreateUser, creation())
    mesh.clock.advance(1_000)
    mesh.person_keys.search.rotate()
    mesh.person_keys.wrapping.rotate()
    mesh.clock.advance(61_000)
    again, replayed = await call_replayed(mesh.users.CreateUser, creation())
    assert (again, replayed) == (first, True)
    error = await refused(mesh.users.CreateUser, creation(email="eve@example.com"))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert await mesh.count("person") == 1


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"request_id": ""}, ["request_id"]),
        ({"user_id": "usr_1"}, ["user_id"]),
        ({"name": ""}, ["name"]),
        ({"email": "nobody"}, ["email"]),
        ({"phone": "555-0123"}, ["phone"]),
        ({"birth_date": "2020-01-01"}, ["birth_date"]),
        ({"tax_id": "000-00-0000"}, ["tax_id"]),
        ({"tax_country_code": "ZZ", "tax_id": "1234"}, ["tax_country_code"]),
        ({"address": Address(country_code="us")}, [
            "address.line1", "address.city", "address.country_code",
        ]),
        ({"email": "", "phone": "x", "tax_id": "1"}, ["email", "phone", "tax_id"]),
    ],
)  # fmt: skip
async def test_malformed_fields_are_named_and_not_repeated(
    mesh: AccountsMesh, fields: dict[str, Any], wrong: list[str]
) -> None:
    error = await refused(mesh.users.CreateUser, creation(**fields))
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, wrong)
    assert "555-0123" not in str(error)
    assert await mesh.count("person") == 0


async def test_who_sees_everything(mesh: AccountsMesh) -> None:
    """Goal: administrators and the person; an auditor sees the masked person only."""
    user = await create(mesh)
    myself = ("x-auth-subject", user.id)
    masked = pb.GetUserRequest(user_id=user.id)
    whole = pb.GetUserRequest(user_id=user.id, view=VIEW_FULL)
    assert (await call(mesh.users.GetUser, masked, metadata=AUDITOR)).user.masked
    error = await refused(mesh.users.GetUser, whole, metadata=AUDITOR)
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "VIEW_NOT_ALLOWED")
    assert (await call(mesh.users.GetUser, whole, principal=myself)).user.tax_id == SSN
    export = user_export_pb2.ExportUserDataRequest(user_id=user.id)
    error = await refused(mesh.users.ExportUserData, export, metadata=AUDITOR)
    assert error.code == grpc.StatusCode.PERMISSION_DENIED
    assert await mesh.count("person_reveal") == 1
    error = await refused(mesh.users.GetUser, pb.GetUserRequest(user_id=UNKNOWN_USER))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND")


@pytest.mark.parametrize(
    "search", [{"email": " ADA@example.com"}, {"phone": PHONE}, {"tax_id": "123456789"}]
)
async def test_people_are_found_by_what_is_sealed(
    mesh: AccountsMesh, search: dict[str, Any]
) -> None:
    found_ids = [(await create(mesh)).id for _ in range(3)]
    await create(mesh, email="eve@example.com", phone="+12125550199", tax_id="123-45-6788")
    first = await call(
        mesh.users.SearchUsers, user_search_pb2.SearchUsersRequest(**search, page_size=2)
    )
    request = user_search_pb2.SearchUsersRequest(
        **search, page_size=2, page_token=first.next_page_token
    )
    second = await call(mesh.users.SearchUsers, request)
    found = [*first.users, *second.users]
    assert sorted(user.id for user in found) == sorted(found_ids)
    assert all(user.masked for user in found)
    assert not second.next_page_token
    everybody = await call(mesh.users.ListUsers, pb.ListUsersRequest())
    assert len(everybody.users) == 4


@pytest.mark.parametrize(
    ("search", "wrong"),
    [
        ({}, ["email", "phone", "tax_id", "reference"]),
        ({"email": EMAIL, "phone": PHONE}, ["email", "phone"]),
        ({"email": EMAIL, "page_token": "x"}, ["page_token"]),
    ],
)
async def test_searches_name_one_field(
    mesh: AccountsMesh, search: dict[str, Any], wrong: list[str]
) -> None:
    error = await refused(mesh.users.SearchUsers, user_search_pb2.SearchUsersRequest(**search))
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, wrong)


async def test_who_was_verified_becomes_nobody_else(mesh: AccountsMesh) -> None:
    user = await create(mesh)
    themselves: Any = {"principal": ("x-auth-subject", user.id)}
    before = pb.UpdateUserRequest(request_id="v-1", user_id=user.id, name="Ada Lovelace")
    assert (await call(mesh.users.UpdateUser, before, **themselves)).user.name == "Ada Lovelace"
    await move(mesh, "VerifyUser", user.id)
    other: dict[str, Any] = {
        "name": "Eve",
        "birth_date": "1990-01-01",
        "tax_id": "900701234",
        "email": EMAIL,
    }
    request = pb.UpdateUserRequest(request_id="v-2", user_id=user.id, **other)
    error = await refused(mesh.users.UpdateUser, request, **themselves)
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "IDENTITY_VERIFIED")
    assert error.metadata["fields"] == "name,birth_date,tax_id"
    reach = pb.UpdateUserRequest(request_id="v-3", user_id=user.id, phone="+12125550199")
    assert (await call(mesh.users.UpdateUser, reach, **themselves)).user.version == 4
    by_staff = pb.UpdateUserRequest(request_id="v-4", user_id=user.id, name="Ada King")
    assert (await call(mesh.users.UpdateUser, by_staff)).user.name == "Ada King"


async def test_updates_change_what_they_have(mesh: AccountsMesh) -> None:
    user = await create(mesh)
    request = pb.UpdateUserRequest(
        request_id="u-1", user_id=user.id, email="ada@new.example.com", phone="", tax_id="900701234"
    )
    changed = (await call(mesh.users.UpdateUser, request)).user
    assert (changed.version, changed.email, changed.phone) == (2, "a***@new.example.com", "")
    shown = await full(mesh, user.id)
    assert (shown.tax_id, shown.name) == ("900-70-1234", "Ada Byron")
    again = pb.UpdateUserRequest(request_id="u-2", user_id=user.id, name="Ada Byron")
    assert (await call(mesh.users.UpdateUser, again)).user.version == 2
    old = await call(mesh.users.SearchUsers, user_search_pb2.SearchUsersRequest(email=EMAIL))
    assert not old.users
    wrong = pb.UpdateUserRequest(
        request_id="u-3", user_id=user.id, name="", tax_country_code="DE", birth_date="1"
    )
    error = await refused(mesh.users.UpdateUser, wrong)
    assert error.fields == ["name", "birth_date", "tax_country_code"]
    await move(mesh, "CloseUser", user.id)
    late = pb.UpdateUserRequest(request_id="u-4", user_id=user.id, name="Eve")
    error = await refused(mesh.users.UpdateUser, late)
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "USER_CLOSED")


async def test_the_life_of_a_person(mesh: AccountsMesh) -> None:
    user = await create(mesh)
    for name, state in (
        ("SuspendUser", User.STATE_SUSPENDED),
        ("ReactivateUser", User.STATE_UNVERIFIED),
        ("VerifyUser", User.STATE_ACTIVE),
        ("SuspendUser", User.STATE_SUSPENDED),
        ("ReactivateUser", User.STATE_ACTIVE),
        ("CloseUser", User.STATE_CLOSED),
    ):
        assert (await move(mesh, name, user.id)).state == state
    request = pb.VerifyUserRequest(request_id="late", user_id=user.id)
    error = await refused(mesh.users.VerifyUser, request)
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "ILLEGAL_TRANSITION",
    )
    assert error.metadata["allowed"] == ""
    for name in ("VerifyUser", "SuspendUser", "ReactivateUser", "CloseUser", "EraseUser"):
        assert await refusal(mesh, name, UNKNOWN_USER) == (
            grpc.StatusCode.NOT_FOUND,
            "USER_NOT_FOUND",
        )


@pytest.mark.parametrize("missing", [("birth_date",), ("tax_id",), ("birth_date", "tax_id")])
async def test_who_is_hardly_known_is_not_verified(
    mesh: AccountsMesh, missing: tuple[str, ...]
) -> None:
    """Goal: by hand nobody is verified of whom an identity check could say nothing."""
    known = {"birth_date": "1990-12-10", "tax_id": SSN}
    user = await create(mesh, **dict.fromkeys(missing, ""))
    request = pb.VerifyUserRequest(request_id="v", user_id=user.id)
    error = await refused(mesh.users.VerifyUser, request)
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "IDENTITY_INCOMPLETE",
    )
    assert error.metadata == {"user_id": user.id, "fields": ",".join(missing)}
    told: Any = {name: known[name] for name in missing}
    entered = pb.UpdateUserRequest(request_id="u", user_id=user.id, **told)
    await call(mesh.users.UpdateUser, entered)
    answer = await call(mesh.users.VerifyUser, request)
    assert answer.user.state == User.STATE_ACTIVE
    assert await call(mesh.users.VerifyUser, request) == answer


async def test_erasing_leaves_a_pseudonym(mesh: AccountsMesh) -> None:
    """Goal: no key, no field, no hash stays; accounts keep their owner; replays still answer."""
    created = await call(mesh.users.CreateUser, creation())
    user_id = created.user.id
    account = await mesh.open_account(user_id)
    precondition = grpc.StatusCode.FAILED_PRECONDITION
    assert await refusal(mesh, "CloseUser", user_id) == (precondition, "USER_HAS_ACCOUNTS")
    assert await refusal(mesh, "EraseUser", user_id) == (precondition, "USER_NOT_CLOSED")
    assert await refusal(mesh, "DeleteUser", user_id) == (precondition, "USER_IN_USE")
    await mesh.set_account_state(account.id, "CLOSED")
    await move(mesh, "CloseUser", user_id)
    request = pb.EraseUserRequest(request_id="e-1", user_id=user_id)
    erased = await call(mesh.users.EraseUser, request)
    assert (erased.user.id, erased.user.name, erased.user.email) == (user_id, "", "")
    assert erased.user.HasField("erase_time")
    assert await call_replayed(mesh.users.EraseUser, request) == (erased, True)
    (row,) = await mesh.pool.fetch("SELECT * FROM person")
    kept = {name for name, value in row.items() if value is not None}
    assert kept == {"id", "state", "version", "create_time", "update_time", "erase_time"}
    assert await mesh.pool.fetchval("SELECT owner_id FROM account") == user_id
    assert (await full(mesh, user_id)).name == ""
    error = await refused(mesh.users.CreateUser, creation())
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND")


async def test_deleting_removes_who_never_had_anything(mesh: AccountsMesh) -> None:
    user = await create(mesh)
    request = pb.DeleteUserRequest(request_id="d-1", user_id=user.id)
    for replayed in (False, True):
        answer, again = await call_replayed(mesh.users.DeleteUser, request)
        assert isinstance(answer, Message)
        assert again is replayed
    assert await mesh.count("person") == 0
    assert (await refusal(mesh, "DeleteUser", user.id))[1] == "USER_NOT_FOUND"
