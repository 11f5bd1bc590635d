from __future__ import annotations

import asyncio

import grpc
import pytest

from gateway.session_store import USER_ATTEMPTS
from holdfast.gateway.v1.session_pb2 import Session
from holdfast.gateway.v1.session_service_pb2 import ChangePasswordRequest, LoginRequest
from tests.accounts_mesh import Refused, call, call_replayed, refused
from tests.gateway_mesh import ADMIN, ANONYMOUS, EMAIL, PASSWORD, GatewayMesh, whose

NEW = "another long password"


def _request(request_id: str = "p-1", password: str = PASSWORD) -> ChangePasswordRequest:
    return ChangePasswordRequest(request_id=request_id, password=password, new_password=NEW)


async def _refused(mesh: GatewayMesh, request: ChangePasswordRequest, session: Session) -> Refused:
    return await refused(mesh.stub.ChangePassword, request, **whose(session))


async def test_replaces_it_and_ends_the_other_sessions(mesh: GatewayMesh) -> None:
    await mesh.register()
    mine, other = await mesh.login(), await mesh.login()
    await call(mesh.stub.ChangePassword, _request(), **whose(mine.session))
    assert await mesh.check.lives(mine.session.id, mutates=True)
    assert not await mesh.check.lives(other.session.id, mutates=True)
    old = LoginRequest(request_id="l", email=EMAIL, password=PASSWORD)
    assert (await refused(mesh.stub.Login, old, principal=ANONYMOUS)).reason == "WRONG_CREDENTIALS"
    await mesh.login(password=NEW)
    # The same request again is answered, although the password is another by now.
    _, replayed = await call_replayed(mesh.stub.ChangePassword, _request(), **whose(mine.session))
    assert replayed
    reused = await _refused(mesh, _request(password=NEW), mine.session)
    assert reused.reason == "REQUEST_ID_REUSED"


async def test_no_login_with_the_old_password_survives(mesh: GatewayMesh) -> None:
    """Logins that run while the password is changed: none is left that knew only the old one."""
    await mesh.register()
    mine = await mesh.login()
    password = PASSWORD
    for round_number in range(5):
        new = f"{NEW} {round_number}"
        request = ChangePasswordRequest(
            request_id=f"p-{round_number}", password=password, new_password=new
        )
        logins = [mesh.login(password=password) for _ in range(4)]
        change = call(mesh.stub.ChangePassword, request, **whose(mine.session))
        await asyncio.gather(change, *logins, return_exceptions=True)
        left = await mesh.sessions.of_user(mine.session.user_id)
        assert [one.id for one in left] == [mine.session.id]
        password = new
        await mesh.login(password=new)
        await mesh.sessions.end_all(mine.session.user_id, but=mine.session.id)


async def test_guesses_of_the_old_one_are_limited(mesh: GatewayMesh) -> None:
    await mesh.register()
    mine = await mesh.login()
    for number in range(USER_ATTEMPTS):
        answer = await _refused(mesh, _request(f"g-{number}", "wrong password"), mine.session)
        assert (answer.code, answer.reason) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "WRONG_CREDENTIALS",
        )
    answer = await _refused(mesh, _request("g-9", "wrong password"), mine.session)
    assert answer.reason == "TOO_MANY_ATTEMPTS"


async def test_operators_have_none(mesh: GatewayMesh) -> None:
    answer = await refused(mesh.stub.ChangePassword, _request(), principal=ADMIN)
    assert answer.reason == "NO_SESSION"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"request_id": ""}, "request_id"),
        ({"password": ""}, "password"),
        ({"new_password": "too short"}, "new_password"),
    ],
)
async def test_names_what_is_wrong(mesh: GatewayMesh, fields: dict[str, str], wrong: str) -> None:
    await mesh.register()
    mine = await mesh.login()
    good = {"request_id": "p", "password": PASSWORD, "new_password": NEW}
    answer = await _refused(mesh, ChangePasswordRequest(**(good | fields)), mine.session)
    assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [wrong])
