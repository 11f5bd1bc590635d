"""What the identity check of an application says about the person who applies."""

from __future__ import annotations

import pytest

from holdfast.accounts.v1 import user_pb2, user_service_pb2
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
