"""PasswordService: one answer to everybody, one use of a token, and who is told."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import grpc
import pytest

from gateway.notices import Notice, Told
from gateway.resets import LIFETIME_MS
from gateway.session_store import USER_ATTEMPTS
from gateway.totp import code_at
from holdfast.gateway.v1 import password_service_pb2 as pb
from holdfast.gateway.v1 import second_factor_service_pb2 as factor_pb
from holdfast.gateway.v1.session_service_pb2 import (
    ChangePasswordRequest,
    LoginRequest,
    SetUserAccessRequest,
)
from tests.accounts_mesh import Refused, call, call_replayed, refused
from tests.gateway_mesh import ADMIN, ANONYMOUS, EMAIL, PASSWORD, GatewayMesh, whose

NEW = "another long password"


async def settled(mesh: GatewayMesh) -> list[Notice]:
    """What users were told, once everything is delivered."""
    async with asyncio.timeout(10):
        while await mesh.outbox.pending():
            mesh.outbox.wake()
            await asyncio.sleep(0.02)
    return mesh.notify.told


async def asked(mesh: GatewayMesh, email: str = EMAIL, request_id: str = "") -> Any:
    request = pb.RequestPasswordResetRequest(
        request_id=request_id or mesh.request_id(), email=email
    )
    return await call(mesh.passwords.RequestPasswordReset, request, principal=ANONYMOUS)


async def mailed(mesh: GatewayMesh) -> str:
    """The token of a new mail."""
    await asked(mesh)
    return (await settled(mesh))[-1].token


def reset(token: str, request_id: str = "r-1", password: str = NEW) -> pb.ResetPasswordRequest:
    return pb.ResetPasswordRequest(request_id=request_id, token=token, new_password=password)


async def wrong(mesh: GatewayMesh, request: pb.ResetPasswordRequest) -> Refused:
    answer = await refused(mesh.passwords.ResetPassword, request, principal=ANONYMOUS)
    assert answer.code is grpc.StatusCode.UNAUTHENTICATED
    assert answer.reason == "WRONG_RESET_TOKEN"
    return answer


async def test_a_token_resets_a_password_once(mesh: GatewayMesh) -> None:
    user_id = await mesh.register()
    before = await mesh.login()
    token = await mailed(mesh)
    (notice,) = mesh.notify.told
    assert (notice.told, notice.user_id) == (Told.PASSWORD_RESET, user_id)
    assert notice.expire_ms == mesh.clock.now_ms() + LIFETIME_MS
    assert token not in repr(notice)
    await call(mesh.passwords.ResetPassword, reset(token), principal=ANONYMOUS)
    assert not await mesh.check.lives(before.session.id, mutates=True), "every session ends"
    old = LoginRequest(request_id="l", email=EMAIL, password=PASSWORD)
    assert (await refused(mesh.stub.Login, old, principal=ANONYMOUS)).reason == "WRONG_CREDENTIALS"
    await mesh.login(password=NEW)
    _, replayed = await call_replayed(
        mesh.passwords.ResetPassword, reset(token), principal=ANONYMOUS
    )
    assert replayed
    reused = await refused(
        mesh.passwords.ResetPassword, reset(token, password=PASSWORD), principal=ANONYMOUS
    )
    assert reused.reason == "REQUEST_ID_REUSED"
    await wrong(mesh, reset(token, "r-2"))
    assert [one.told for one in await settled(mesh)] == [
        Told.PASSWORD_RESET,
        Told.PASSWORD_CHANGED,
    ]


async def test_known_and_unknown_addresses_get_one_answer(mesh: GatewayMesh) -> None:
    await mesh.register()
    assert await asked(mesh) == await asked(mesh, "nobody@example.com")
    rows = await mesh.pool.fetch("SELECT method, response FROM request_record ORDER BY method")
    assert len({(row["method"], row["response"]) for row in rows if "Reset" in row["method"]}) == 1
    assert len(await settled(mesh)) == 1
    # The same limits, too.
    for email in (EMAIL, "nobody@example.com"):
        for _ in range(USER_ATTEMPTS - 1):
            await asked(mesh, email)
        request = pb.RequestPasswordResetRequest(request_id=mesh.request_id(), email=email)
        limited = await refused(mesh.passwords.RequestPasswordReset, request, principal=ANONYMOUS)
        assert limited.reason == "TOO_MANY_ATTEMPTS"
    assert len(await settled(mesh)) == USER_ATTEMPTS


async def test_a_repeated_request_sends_one_mail(mesh: GatewayMesh) -> None:
    await mesh.register()
    for _ in range(2):
        await asked(mesh, request_id="a-1")
    assert len(await settled(mesh)) == 1
    other = pb.RequestPasswordResetRequest(request_id="a-1", email="ADA@example.com ")
    answer = await refused(mesh.passwords.RequestPasswordReset, other, principal=ANONYMOUS)
    assert answer.reason == "REQUEST_ID_REUSED"


async def test_a_later_mail_takes_the_place_of_the_first(mesh: GatewayMesh) -> None:
    await mesh.register()
    first, second = await mailed(mesh), await mailed(mesh)
    await wrong(mesh, reset(first))
    await call(mesh.passwords.ResetPassword, reset(second), principal=ANONYMOUS)


async def test_tokens_grow_old(mesh: GatewayMesh) -> None:
    await mesh.register()
    token = await mailed(mesh)
    mesh.clock.advance(LIFETIME_MS)
    await wrong(mesh, reset(token))
    # Nor does a mail arrive that is worth nothing.
    mesh.notify.refusing = True
    await asked(mesh)
    mesh.clock.advance(LIFETIME_MS)
    mesh.notify.refusing = False
    assert len(await settled(mesh)) == 1


async def test_another_change_ends_a_token(mesh: GatewayMesh) -> None:
    user_id = await mesh.register()
    token, mine = await mailed(mesh), await mesh.login()
    change = ChangePasswordRequest(request_id="c-1", password=PASSWORD, new_password=NEW)
    await call(mesh.stub.ChangePassword, change, **whose(mine.session))
    await wrong(mesh, reset(token))
    # Who may not sign in resets nothing, and gets no mail.
    token = await mailed(mesh)
    count = len(await settled(mesh))
    access = SetUserAccessRequest(
        request_id="s-1", user_id=user_id, roles=["cardholder"], disabled=True
    )
    await call(mesh.stub.SetUserAccess, access, principal=ADMIN)
    await wrong(mesh, reset(token))
    mesh.clock.advance(1)
    await asked(mesh)
    assert len(await settled(mesh)) == count


async def test_what_is_delivered_twice_brings_no_used_token_back(mesh: GatewayMesh) -> None:
    await mesh.register()
    mesh.notify.refusing = True
    await asked(mesh)
    (row,) = await mesh.pool.fetch(
        "SELECT topic, key, payload FROM outbox WHERE key LIKE 'reset:%'"
    )
    mesh.notify.refusing = False
    token = (await settled(mesh))[-1].token
    mesh.clock.advance(1)
    await call(mesh.passwords.ResetPassword, reset(token), principal=ANONYMOUS)
    await mesh.pool.execute("INSERT INTO outbox (topic, key, payload) VALUES ($1, $2, $3)", *row)
    await settled(mesh)
    await wrong(mesh, reset(token, "r-2"))


async def test_of_two_at_once_one_resets(mesh: GatewayMesh) -> None:
    await mesh.register()
    token = await mailed(mesh)
    found = await asyncio.gather(
        *(
            call(mesh.passwords.ResetPassword, reset(token, f"r-{number}"), principal=ANONYMOUS)
            for number in range(4)
        ),
        return_exceptions=True,
    )
    assert len([one for one in found if not isinstance(one, BaseException)]) == 1


async def test_nothing_of_it_is_stored_in_clear(mesh: GatewayMesh) -> None:
    await mesh.register()
    mesh.notify.refusing = True
    await asked(mesh)
    rows = [
        str(dict(row))
        for table in ("outbox", "password_reset", "request_record", "audit.entry")
        for row in await mesh.pool.fetch(f"SELECT * FROM {table}")
    ]
    mesh.notify.refusing = False
    token = (await settled(mesh))[-1].token
    assert not [row for row in rows if token in row or EMAIL in row]


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        (
            "RequestPasswordReset",
            pb.RequestPasswordResetRequest(),
            ["email", "request_id"],
        ),
        (
            "RequestPasswordReset",
            pb.RequestPasswordResetRequest(request_id="r", email="nobody"),
            ["email"],
        ),
        ("ResetPassword", pb.ResetPasswordRequest(), ["token", "new_password", "request_id"]),
        ("ResetPassword", reset("t" * 200, password="short"), ["token", "new_password"]),
    ],
)
async def test_wrong_fields_are_named(
    mesh: GatewayMesh, method: str, request_: Any, fields: list[str]
) -> None:
    answer = await refused(getattr(mesh.passwords, method), request_, principal=ANONYMOUS)
    assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, fields)


async def test_wrong_tokens_reset_nothing(mesh: GatewayMesh) -> None:
    await mesh.register()
    token = await mailed(mesh)
    for one in ("x", token[:-1], token + "A", token.swapcase()):
        await wrong(mesh, reset(one))
    await mesh.login()


async def test_users_are_told_of_what_others_could_do(mesh: GatewayMesh) -> None:
    """A new place, and the second factor; the first sign-in is no news."""
    await mesh.register()
    mine = await mesh.login()
    await mesh.login()
    assert await settled(mesh) == []
    login = LoginRequest(request_id="elsewhere", email=EMAIL, password=PASSWORD)
    elsewhere = (("x-auth-address", "198.51.100.9"),)
    await call(mesh.stub.Login, login, principal=ANONYMOUS, metadata=elsewhere)
    assert [one.told for one in await settled(mesh)] == [Told.NEW_SIGN_IN]
    begun = await call(
        mesh.factors.EnrollSecondFactor,
        factor_pb.EnrollSecondFactorRequest(request_id="e-1", password=PASSWORD),
        **whose(mine.session),
    )
    secret = base64.b32decode(begun.secret + "=" * (-len(begun.secret) % 8))
    code = code_at(secret, mesh.clock.now_ms() // 30_000)
    await call(
        mesh.factors.ConfirmSecondFactor,
        factor_pb.ConfirmSecondFactorRequest(request_id="e-2", code=code),
        **whose(mine.session),
    )
    assert (await settled(mesh))[-1].told is Told.SECOND_FACTOR_CHANGED
