"""What the identity check of an application says about the person who applies."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.accounts.v1 import application_pb2, user_pb2, user_search_pb2, user_service_pb2
from tests.accounts_applying import checked, create_programme, submit
from tests.accounts_mesh import AccountsMesh, call
from tests.accounts_people import ANNA, STAFF

State = user_pb2.User.State


async def anna(mesh: AccountsMesh) -> user_pb2.User:
    request = user_service_pb2.GetUserRequest(user_id=ANNA)
    answer: user_service_pb2.GetUserResponse = await call(mesh.users.GetUser, request, **STAFF)
    return answer.user


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        ("9999", State.STATE_ACTIVE),
        # Declined for its credit: who it is was found all the same.
        ("0005", State.STATE_ACTIVE),
        # Not verified, another person, on a watch list.
        ("0001", State.STATE_UNVERIFIED),
        ("0002", State.STATE_UNVERIFIED),
        ("0003", State.STATE_UNVERIFIED),
    ],
)
async def test_who_is_verified_is_active(
    mesh: AccountsMesh, ending: str, state: State.ValueType
) -> None:
    await create_programme(mesh)
    await checked(mesh, ending)
    found = await anna(mesh)
    assert (found.state, found.HasField("verify_time")) == (state, state == State.STATE_ACTIVE)
    assert found.version == (2 if state == State.STATE_ACTIVE else 1)


async def test_a_second_check_changes_nothing(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    await checked(mesh, "9999")
    found = await anna(mesh)
    await checked(mesh, "9999", request_id="again")
    assert await anna(mesh) == found


async def test_who_is_set_aside_stays_so(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    await submit(mesh)
    request = user_service_pb2.SuspendUserRequest(request_id="s", user_id=ANNA)
    await call(mesh.users.SuspendUser, request, **STAFF)
    await mesh.worker.work_due()
    assert (await anna(mesh)).state == State.STATE_SUSPENDED


@pytest.mark.parametrize(
    "known",
    [{"name": "Boris Smith"}, {"birth_date": "1987-05-05"}, {"tax_id": "512-34-9998"}],
    ids=lambda known: next(iter(known)),
)
async def test_nobody_is_verified_by_the_papers_of_another(
    mesh: AccountsMesh, known: dict[str, Any]
) -> None:
    """Goal: a thief with somebody's number has no card of it before a person has looked."""
    await create_programme(mesh)
    change = user_service_pb2.UpdateUserRequest(request_id="u", user_id=ANNA, **known)
    await call(mesh.users.UpdateUser, change, **STAFF)
    found = await checked(mesh, "9999")
    assert found.state == application_pb2.Application.STATE_IN_REVIEW
    assert list(found.decision.alerts) == [application_pb2.Decision.ALERT_OTHER_PERSON]
    assert (await anna(mesh)).state == State.STATE_UNVERIFIED
    assert await mesh.count("account") == 0


async def test_whoever_is_verified_stays_who_that_was(mesh: AccountsMesh) -> None:
    """What was verified is known from then on: who applies again as somebody else is looked at."""
    await create_programme(mesh)
    await checked(mesh, "9999")
    request = user_service_pb2.GetUserRequest(user_id=ANNA, view=user_pb2.VIEW_FULL)
    found = (await call(mesh.users.GetUser, request, **STAFF)).user
    assert (found.birth_date, found.tax_id) == ("1987-05-04", "512-34-9999")
    search = user_search_pb2.SearchUsersRequest(tax_id="512349999")
    found_by = await call(mesh.users.SearchUsers, search, **STAFF)
    assert [one.id for one in found_by.users] == [ANNA]
    again = await checked(mesh, "9998")
    assert list(again.decision.alerts) == [application_pb2.Decision.ALERT_OTHER_PERSON]
