"""People: from the wire and back. No error repeats what is personal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Any, TypeAlias

from google.protobuf.message import Message

from accounts.personal import (
    NAME_LENGTH,
    birth_date_of,
    check_address,
    country_of,
    email_of,
    phone_of,
    tax_id_of,
)
from accounts.user import Address, Personal, User, masked
from holdfast.accounts.v1 import user_export_pb2, user_import_pb2, user_pb2, user_search_pb2
from holdfast.accounts.v1 import user_service_pb2 as pb
from runtime import ids
from runtime.errors import FailedPrecondition, NotFound
from runtime.paging import Page, page_of
from runtime.request_records import RequestKey, key_of
from runtime.validate import Violations, timestamp

UserTransitionRequest: TypeAlias = (
    pb.VerifyUserRequest
    | pb.SuspendUserRequest
    | pb.ReactivateUserRequest
    | pb.CloseUserRequest
    | pb.DeleteUserRequest
    | pb.EraseUserRequest
)

_COUNTRY_DEFAULT = "US"
_ADDRESS = ("line1", "line2", "city", "region", "postal_code", "country_code")
_SEARCHED = ("email", "phone", "tax_id", "reference")


def create_user(
    request: pb.CreateUserRequest, context: Any, today: date
) -> tuple[RequestKey, Personal]:
    """Checks CreateUserRequest."""
    check = Violations()
    key = key_of(request, context, check)
    check.id("user_id", request.user_id, ids.USER, required=False)
    personal = personal_of(request, today, check)
    check.raise_if_any()
    return key, personal


def personal_of(
    request: pb.CreateUserRequest | user_import_pb2.ImportedUser, today: date, check: Violations
) -> Personal:
    """What is personal of somebody new."""
    check.text("name", request.name, limit=NAME_LENGTH, required=True)
    country_code = request.tax_country_code or _COUNTRY_DEFAULT
    if request.tax_country_code:
        country_of("tax_country_code", request.tax_country_code, check)
    return Personal(
        name=request.name,
        email=email_of("email", request.email, check),
        phone=phone_of("phone", request.phone, check) if request.phone else "",
        address=_address(request, check) if request.HasField("address") else None,
        birth_date=_birth_date(request.birth_date, today, check),
        tax_id=tax_id_of("tax_id", request.tax_id, country_code, check) if request.tax_id else "",
        tax_country_code=country_code if request.tax_id else "",
    )


def import_users(
    request: user_import_pb2.ImportUsersRequest, context: Any, *, limit: int
) -> RequestKey:
    """Checks the id and the number of people of ImportUsersRequest."""
    check = Violations()
    key = key_of(request, context, check)
    if not 1 <= len(request.users) <= limit:
        check.add("users", f"must be 1 to {limit} people")
    check.raise_if_any()
    return key


def update_user(request: pb.UpdateUserRequest, context: Any) -> RequestKey:
    """Checks the ids of UpdateUserRequest; `updated` checks the rest."""
    check = Violations()
    key = key_of(request, context, check)
    check.id("user_id", request.user_id, ids.USER)
    check.raise_if_any()
    return key


def updated(request: pb.UpdateUserRequest, before: Personal, today: date) -> Personal:
    """What is personal after the update. Checks what the request has."""
    check = Violations()
    changed: dict[str, Any] = {}
    if request.HasField("name"):
        check.text("name", request.name, limit=NAME_LENGTH, required=True)
        changed["name"] = request.name
    if request.HasField("email"):
        changed["email"] = email_of("email", request.email, check) if request.email else ""
    if request.HasField("phone"):
        changed["phone"] = phone_of("phone", request.phone, check) if request.phone else ""
    if request.HasField("address"):
        empty = request.address == user_pb2.Address()
        changed["address"] = None if empty else _address(request, check)
    if request.HasField("birth_date"):
        changed["birth_date"] = _birth_date(request.birth_date, today, check)
    if request.HasField("tax_country_code") and not request.HasField("tax_id"):
        check.add("tax_country_code", "goes with tax_id")
    elif request.HasField("tax_id"):
        country_code = request.tax_country_code or _COUNTRY_DEFAULT
        country_of("tax_country_code", country_code, check)
        number = request.tax_id
        changed["tax_id"] = tax_id_of("tax_id", number, country_code, check) if number else ""
        changed["tax_country_code"] = country_code if number else ""
    check.raise_if_any()
    return replace(before, **changed)


def transition(request: UserTransitionRequest, context: Any) -> RequestKey:
    """Checks requests that name a person and nothing else."""
    check = Violations()
    key = key_of(request, context, check)
    check.id("user_id", request.user_id, ids.USER)
    check.raise_if_any()
    return key


def export(request: user_export_pb2.ExportUserDataRequest) -> tuple[str, Page]:
    """Checks ExportUserDataRequest; returns the id and where to go on."""
    check = Violations()
    check.id("user_id", request.user_id, ids.USER)
    scope = f"ExportUserData:{request.user_id}"
    page = page_of(0, request.page_token, scope=scope, violations=check)
    check.raise_if_any()
    return request.user_id, page


def get_user(request: pb.GetUserRequest) -> str:
    """Checks GetUserRequest; returns the id."""
    check = Violations()
    check.id("user_id", request.user_id, ids.USER)
    if isinstance(request, pb.GetUserRequest):
        check.enum("view", request.view, user_pb2.View.values())
    check.raise_if_any()
    return request.user_id


def users_page(request: pb.ListUsersRequest) -> Page:
    """Checks ListUsersRequest."""
    check = Violations()
    check.enum("view", request.view, user_pb2.View.values())
    page = page_of(request.page_size, request.page_token, scope="ListUsers", violations=check)
    check.raise_if_any()
    return page


def search(request: user_search_pb2.SearchUsersRequest) -> tuple[str, str, Page]:
    """Checks SearchUsersRequest; returns what is searched by, and for."""
    check = Violations()
    named = [name for name in _SEARCHED if getattr(request, name)]
    if len(named) != 1:
        for name in named or _SEARCHED:
            check.add(name, "name exactly one of email, phone, tax_id and reference")
    field = named[0] if named else _SEARCHED[0]
    page = page_of(
        request.page_size, request.page_token, scope=f"SearchUsers|{field}", violations=check
    )
    check.text(field, getattr(request, field), limit=256)
    check.raise_if_any()
    return field, getattr(request, field), page


def content(request: Message) -> bytes:
    """What a request says, without its id."""
    copy = type(request)()
    copy.CopyFrom(request)
    copy.ClearField("request_id")
    method: bytes = copy.DESCRIPTOR.name.encode()
    return method + b":" + copy.SerializeToString(deterministic=True)


def user(value: User, *, full: bool = False) -> user_pb2.User:
    """The person on the wire, masked unless `full`."""
    personal = value.personal if full else masked(value.personal)
    address = personal.address
    return user_pb2.User(
        id=value.id,
        state=user_pb2.User.State.Value(f"STATE_{value.state}"),
        name=personal.name,
        email=personal.email,
        phone=personal.phone,
        address=user_pb2.Address(**{name: getattr(address, name) for name in _ADDRESS})
        if address
        else None,
        birth_date=personal.birth_date,
        tax_id=personal.tax_id,
        tax_country_code=personal.tax_country_code,
        version=value.version,
        create_time=timestamp(value.create_time_ms),
        update_time=timestamp(value.update_time_ms),
        verify_time=timestamp(value.verify_time_ms) if value.verify_time_ms is not None else None,
        erase_time=timestamp(value.erase_time_ms) if value.erase_time_ms is not None else None,
        masked=not full,
    )


def user_not_found(user_id: str) -> NotFound:
    """The error for an unknown person."""
    return NotFound("no such user", reason="USER_NOT_FOUND", metadata={"user_id": user_id})


def identity_verified(value: User, fields: Iterable[str]) -> FailedPrecondition:
    """The error for a verified person who would become another."""
    named = ",".join(fields)
    return FailedPrecondition(
        f"it was checked who the person is; the bank changes {named}",
        reason="IDENTITY_VERIFIED",
        metadata={"user_id": value.id, "fields": named},
    )


def identity_unknown(value: User, fields: Iterable[str]) -> FailedPrecondition:
    """The error for verifying a person of whom too little is known."""
    named = ",".join(fields)
    return FailedPrecondition(
        f"nobody can have checked who the person is without {named}: enter them first",
        reason="IDENTITY_INCOMPLETE",
        metadata={"user_id": value.id, "fields": named},
    )


def user_closed(value: User) -> FailedPrecondition:
    """The error for changes of somebody who is gone."""
    return FailedPrecondition(
        "the user is closed",
        reason="USER_CLOSED",
        metadata={"user_id": value.id, "state": value.state},
    )


def _address(
    request: pb.CreateUserRequest | pb.UpdateUserRequest | user_import_pb2.ImportedUser,
    check: Violations,
) -> Address:
    values = {name: getattr(request.address, name) for name in _ADDRESS}
    check_address("address", values, check)
    return Address(**values)


def _birth_date(value: str, today: date, check: Violations) -> str:
    return birth_date_of("birth_date", value, today, check) if value else ""
