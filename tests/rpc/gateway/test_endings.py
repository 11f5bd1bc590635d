"""Changes that end sessions: also when the process dies behind the commit and nobody asks again."""

from __future__ import annotations

import asyncio
from base64 import b32decode
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from gateway import totp
from gateway.endings import Ending
from holdfast.gateway.v1 import password_service_pb2 as password_pb
from holdfast.gateway.v1 import second_factor_service_pb2 as factor_pb
from holdfast.gateway.v1.session_pb2 import Session
from holdfast.gateway.v1.session_service_pb2 import (
    ChangePasswordRequest,
    LoginResponse,
    RefreshRequest,
    SetUserAccessRequest,
)
from runtime.errors import Unavailable
from tests.accounts_mesh import call, refused
from tests.gateway_mesh import ADMIN, ANONYMOUS, EMAIL, PASSWORD, GatewayMesh, whose

NEW = "another long password"

#: Makes a change that ends sessions; raises what the caller is told.
Change = Callable[[GatewayMesh, Session], Awaitable[Any]]


async def _settled(mesh: GatewayMesh) -> None:
    async with asyncio.timeout(30):
        while await mesh.outbox.pending():
            mesh.outbox.wake()
            await asyncio.sleep(0.02)


async def _reset(mesh: GatewayMesh, token: str) -> None:
    request = password_pb.ResetPasswordRequest(request_id="x-1", token=token, new_password=NEW)
    await call(mesh.passwords.ResetPassword, request, principal=ANONYMOUS)


async def _mailed(mesh: GatewayMesh) -> str:
    request = password_pb.RequestPasswordResetRequest(request_id=mesh.request_id(), email=EMAIL)
    await call(mesh.passwords.RequestPasswordReset, request, principal=ANONYMOUS)
    await _settled(mesh)
    return mesh.notify.told[-1].token


async def _change_password(mesh: GatewayMesh, mine: Session) -> None:
    request = ChangePasswordRequest(request_id="x-1", password=PASSWORD, new_password=NEW)
    await call(mesh.stub.ChangePassword, request, **whose(mine))


async def _set_access(mesh: GatewayMesh, mine: Session) -> None:
    request = SetUserAccessRequest(request_id="x-1", user_id=mine.user_id, roles=["cardholder"])
    await call(mesh.stub.SetUserAccess, request, principal=ADMIN)


async def _reset_factor(mesh: GatewayMesh, mine: Session) -> None:
    enroll = factor_pb.EnrollSecondFactorRequest(request_id="e-1", password=PASSWORD)
    begun = await call(mesh.factors.EnrollSecondFactor, enroll, **whose(mine))
    code = totp.code_at(b32decode(begun.secret), mesh.clock.now_ms() // totp.STEP_MS)
    confirm = factor_pb.ConfirmSecondFactorRequest(request_id="e-2", code=code)
    await call(mesh.factors.ConfirmSecondFactor, confirm, **whose(mine))
    request = factor_pb.ResetSecondFactorRequest(request_id="x-1", user_id=mine.user_id)
    await call(mesh.factors.ResetSecondFactor, request, principal=ADMIN)


async def _reset_password(mesh: GatewayMesh, mine: Session) -> None:
    del mine
    await _reset(mesh, await _mailed(mesh))


class Killed(Exception):
    """Stands for SIGKILL: nothing behind it is done."""


class Dead:
    """A process that is killed before it ends any session; until `back`, there is no other."""

    def __init__(self, mesh: GatewayMesh, monkeypatch: pytest.MonkeyPatch) -> None:
        self._is_back = False
        end_before = mesh.sessions.end_before

        async def killed(user_id: str, *, but: str = "") -> None:
            raise Killed

        async def relayed(ending: Ending) -> None:
            if not self._is_back:
                raise Unavailable("nobody is there", reason="GATEWAY_NOT_READY")
            await end_before(ending)

        monkeypatch.setattr(mesh.sessions, "end_all", killed)
        monkeypatch.setattr(mesh.sessions, "end_before", relayed)

    def back(self) -> None:
        self._is_back = True


async def _is_alive(mesh: GatewayMesh, begun: LoginResponse) -> bool:
    """Whether its mutations pass; if not, its refresh token must be worth nothing, either."""
    if await mesh.check.lives(begun.session.id, mutates=True):
        return True
    token = begun.tokens.refresh_token
    request = RefreshRequest(request_id=mesh.request_id(), refresh_token=token)
    answer = await refused(mesh.stub.Refresh, request, principal=ANONYMOUS)
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAUTHENTICATED, "SESSION_ENDED")
    return False


@pytest.mark.parametrize(
    ("change", "keeps_mine"),
    [
        (_reset_password, False),
        (_change_password, True),
        (_set_access, False),
        (_reset_factor, False),
    ],
)
async def test_nobody_asks_again_and_they_end_all_the_same(
    mesh: GatewayMesh, monkeypatch: pytest.MonkeyPatch, change: Change, keeps_mine: bool
) -> None:
    await mesh.register()
    mine, stolen = await mesh.login(), await mesh.login()
    process = Dead(mesh, monkeypatch)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await change(mesh, mine.session)
    assert failed.value.code() is grpc.StatusCode.INTERNAL, "killed behind the commit"
    assert await mesh.check.lives(stolen.session.id, mutates=True)
    password = NEW if change in (_reset_password, _change_password) else PASSWORD
    since = await mesh.login(password=password)
    process.back()
    await _settled(mesh)
    assert not await _is_alive(mesh, stolen)
    assert await _is_alive(mesh, mine) is keeps_mine
    assert await _is_alive(mesh, since), "it rests on what is now"


async def test_sessions_of_a_version_that_knew_none_end(mesh: GatewayMesh) -> None:
    """Begun before an upgrade: their hash has no version."""
    user_id = await mesh.register()
    before = await mesh.login()
    pipe = mesh.sessions._pipe
    await pipe.command("HDEL", f"session:{before.session.id}", "version")
    await mesh.refresh(before.tokens.refresh_token)
    await mesh.sessions.end_before(Ending(user_id=user_id, version=1))
    assert not await mesh.check.lives(before.session.id, mutates=True)
