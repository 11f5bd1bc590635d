"""SecondFactorService, and what Login asks for then."""

from __future__ import annotations

import asyncio
from base64 import b32decode
from typing import Any

import grpc
import pytest

from gateway import totp
from gateway.session_store import USER_ATTEMPTS
from holdfast.gateway.v1 import second_factor_service_pb2 as pb
from holdfast.gateway.v1.session_pb2 import Session
from holdfast.gateway.v1.session_service_pb2 import ChangePasswordRequest, LoginRequest
from runtime.key_ring import SETTLE_MS
from tests.accounts_mesh import call, call_replayed, refused
from tests.gateway_mesh import (
    ADMIN,
    ANONYMOUS,
    EMAIL,
    PASSWORD,
    UNKNOWN_USER,
    GatewayMesh,
    whose,
)


def _code(mesh: GatewayMesh, secret: str) -> str:
    return totp.code_at(b32decode(secret), mesh.clock.now_ms() // totp.STEP_MS)


def _later(mesh: GatewayMesh) -> None:
    """A code works once: the next one comes."""
    mesh.clock.advance(totp.STEP_MS)


async def _confirmed(mesh: GatewayMesh) -> tuple[Session, str, list[str]]:
    await mesh.register()
    session = (await mesh.login()).session
    enrolled = await call(
        mesh.factors.EnrollSecondFactor,
        pb.EnrollSecondFactorRequest(request_id="e-1", password=PASSWORD),
        **whose(session),
    )
    request = pb.ConfirmSecondFactorRequest(request_id="c-1", code=_code(mesh, enrolled.secret))
    confirmed, replayed = await call_replayed(
        mesh.factors.ConfirmSecondFactor, request, **whose(session)
    )
    assert not replayed
    again, replayed = await call_replayed(
        mesh.factors.ConfirmSecondFactor, request, **whose(session)
    )
    assert (again, replayed) == (confirmed, True)
    _later(mesh)
    return session, enrolled.secret, list(confirmed.recovery_codes)


async def _reason(mesh: GatewayMesh, code: str) -> str:
    request = LoginRequest(request_id=mesh.request_id(), email=EMAIL, password=PASSWORD, code=code)
    return (await refused(mesh.stub.Login, request, principal=ANONYMOUS)).reason


async def test_login_asks_for_it(mesh: GatewayMesh) -> None:
    session, secret, recovery = await _confirmed(mesh)
    assert (await mesh.sessions.of_user(session.user_id))[0].mfa_ms > 0
    assert await _reason(mesh, "") == "CODE_REQUIRED"
    assert await _reason(mesh, "000000") == "WRONG_CODE"
    code = _code(mesh, secret)
    begun = await mesh.login(code=f" {code[:3]} {code[3:]}")
    claims = mesh.claims(begun.tokens.access_token)
    assert claims["mfa_time"] == str(mesh.clock.now_ms() // 1000)
    assert await _reason(mesh, code) == "WRONG_CODE"
    # Recovery codes work once each, also after their key was replaced.
    mesh.rings.recovery.rotate()
    mesh.clock.advance(2 * SETTLE_MS)
    await mesh.login(code=recovery[0].upper())
    assert await _reason(mesh, recovery[0]) == "WRONG_CODE"
    await mesh.login(code=recovery[1])


async def test_a_code_works_once_side_by_side(mesh: GatewayMesh) -> None:
    _, secret, recovery = await _confirmed(mesh)
    for code in (_code(mesh, secret), recovery[0]):
        answers = await asyncio.gather(
            *(mesh.login(code=code) for _ in range(4)), return_exceptions=True
        )
        assert sum(not isinstance(answer, BaseException) for answer in answers) == 1


async def test_showing_it_again_renews_the_time(mesh: GatewayMesh) -> None:
    session, secret, _ = await _confirmed(mesh)
    mesh.clock.advance(600_000)
    request = pb.VerifySecondFactorRequest(request_id="v-1", code=_code(mesh, secret))
    shown_ms = mesh.clock.now_ms()
    answer = await call(mesh.factors.VerifySecondFactor, request, **whose(session))
    assert answer.session.mfa_time.ToMilliseconds() == shown_ms
    assert mesh.claims(answer.access_token)["mfa_time"] == str(shown_ms // 1000)
    # A repetition proves nothing new.
    mesh.clock.advance(600_000)
    again, replayed = await call_replayed(
        mesh.factors.VerifySecondFactor, request, **whose(session)
    )
    assert replayed
    assert mesh.claims(again.access_token)["mfa_time"] == str(shown_ms // 1000)


async def test_guesses_are_limited(mesh: GatewayMesh) -> None:
    session, *_ = await _confirmed(mesh)
    reasons = [
        (
            await refused(
                mesh.factors.VerifySecondFactor,
                pb.VerifySecondFactorRequest(request_id=f"g-{number}", code="000000"),
                **whose(session),
            )
        ).reason
        for number in range(USER_ATTEMPTS + 1)
    ]
    assert reasons == ["WRONG_CODE"] * USER_ATTEMPTS + ["TOO_MANY_ATTEMPTS"]


async def test_who_knows_the_password_guesses_slowly(mesh: GatewayMesh) -> None:
    """About once an hour in the end, by Login and otherwise together: within a year the chance to
    guess one of the three codes that are right at a time is some three in a hundred.
    """
    session, *_ = await _confirmed(mesh)
    begun_ms, tried = mesh.clock.now_ms(), 0
    while mesh.clock.now_ms() < begun_ms + 48 * 3_600_000:
        login = LoginRequest(
            request_id=mesh.request_id(), email=EMAIL, password=PASSWORD, code="wrong"
        )
        other = pb.VerifySecondFactorRequest(request_id=mesh.request_id(), code="wrong")
        told = (
            await refused(mesh.stub.Login, login, principal=ANONYMOUS),
            await refused(mesh.factors.VerifySecondFactor, other, **whose(session)),
        )
        tried += sum(one.reason == "WRONG_CODE" for one in told)
        waits = [int(one.metadata.get("retry_after_ms", 0)) for one in told]
        mesh.clock.advance(max(min(waits), 1))
    assert USER_ATTEMPTS < tried <= USER_ATTEMPTS + 12 + 48


async def test_removes_it(mesh: GatewayMesh) -> None:
    session, secret, recovery = await _confirmed(mesh)
    request = pb.RemoveSecondFactorRequest(request_id="x-1", code=_code(mesh, secret))
    await call(mesh.factors.RemoveSecondFactor, request, **whose(session))
    await call(mesh.factors.RemoveSecondFactor, request, **whose(session))
    await mesh.login()
    gone = await refused(
        mesh.factors.VerifySecondFactor,
        pb.VerifySecondFactorRequest(request_id="v-9", code=recovery[0]),
        **whose(session),
    )
    assert (gone.code, gone.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "SECOND_FACTOR_STATE",
    )


async def test_one_at_a_time_and_confirmed_once(mesh: GatewayMesh) -> None:
    session, secret, _ = await _confirmed(mesh)
    again = pb.EnrollSecondFactorRequest(request_id="e-2", password=PASSWORD)
    answer = await refused(mesh.factors.EnrollSecondFactor, again, **whose(session))
    assert answer.reason == "SECOND_FACTOR_STATE"
    confirm = pb.ConfirmSecondFactorRequest(request_id="c-2", code=_code(mesh, secret))
    answer = await refused(mesh.factors.ConfirmSecondFactor, confirm, **whose(session))
    assert answer.reason == "SECOND_FACTOR_STATE"


async def test_a_token_does_not_enroll(mesh: GatewayMesh) -> None:
    """Whoever has a token, of however new a session, cannot add a factor of its own and show it."""
    await mesh.register()
    session = (await mesh.login()).session
    for number, (password, reason) in enumerate(
        [("", "PASSWORD_REQUIRED")]
        + [("wrong horse battery", "WRONG_CREDENTIALS")] * USER_ATTEMPTS
        + [(PASSWORD, "TOO_MANY_ATTEMPTS")]
    ):
        request = pb.EnrollSecondFactorRequest(request_id=f"e-{number}", password=password)
        answer = await refused(mesh.factors.EnrollSecondFactor, request, **whose(session))
        assert answer.reason == reason
    # It is the password of ChangePassword that was guessed.
    change = ChangePasswordRequest(request_id="p-1", password=PASSWORD, new_password=PASSWORD[::-1])
    answer = await refused(mesh.stub.ChangePassword, change, **whose(session))
    assert answer.reason == "TOO_MANY_ATTEMPTS"
    assert await mesh.pool.fetchval("SELECT count(*) FROM second_factor") == 0


async def test_who_was_changed_meanwhile_proves_it_again(mesh: GatewayMesh) -> None:
    """Whoever knew the old password is not let in by a call that overlaps the change of it."""
    await mesh.register()
    session = (await mesh.login()).session
    async with mesh.pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("UPDATE credential SET version = version + 1")
            request = pb.EnrollSecondFactorRequest(request_id="e-1", password=PASSWORD)
            asked = asyncio.create_task(
                refused(mesh.factors.EnrollSecondFactor, request, **whose(session))
            )
            waiting = (
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            for _ in range(1_000):
                if await mesh.pool.fetchval(waiting):
                    break
                await asyncio.sleep(0.01)
        assert (await asked).reason == "WRONG_CREDENTIALS"
    assert await mesh.pool.fetchval("SELECT count(*) FROM second_factor") == 0


async def test_an_administrator_resets_it(mesh: GatewayMesh) -> None:
    session, *_ = await _confirmed(mesh)
    request = pb.ResetSecondFactorRequest(request_id="r-1", user_id=session.user_id)
    answer, replayed = await call_replayed(mesh.factors.ResetSecondFactor, request, principal=ADMIN)
    assert (answer.user_id, replayed) == (session.user_id, False)
    assert await mesh.sessions.of_user(session.user_id) == []
    assert await mesh.pool.fetchval("SELECT count(*) FROM recovery_code") == 0
    assert not (await mesh.login()).session.HasField("mfa_time")
    again = await call_replayed(mesh.factors.ResetSecondFactor, request, principal=ADMIN)
    assert again == (answer, True)
    entries = await mesh.pool.fetch(
        "SELECT actor, targets, code FROM audit.entry WHERE method LIKE '%/ResetSecondFactor'"
        " ORDER BY id DESC LIMIT 2"
    )
    assert {(one["actor"], one["code"]) for one in entries} == {("operator", "OK")}
    assert all(session.user_id in one["targets"] for one in entries)


@pytest.mark.parametrize(
    ("user_id", "code", "told"),
    [
        ("", grpc.StatusCode.INVALID_ARGUMENT, ["user_id"]),
        (UNKNOWN_USER, grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
        ("theirs", grpc.StatusCode.FAILED_PRECONDITION, "SECOND_FACTOR_STATE"),
    ],
)
async def test_there_must_be_one_to_reset(
    mesh: GatewayMesh, *, user_id: str, code: grpc.StatusCode, told: Any
) -> None:
    theirs = await mesh.register()
    request = pb.ResetSecondFactorRequest(
        request_id="r-1", user_id=theirs if user_id == "theirs" else user_id
    )
    error = await refused(mesh.factors.ResetSecondFactor, request, principal=ADMIN)
    assert error.code is code
    assert told in (error.reason, error.fields)


async def test_stores_no_secret(mesh: GatewayMesh) -> None:
    _, secret, recovery = await _confirmed(mesh)
    for table in ("second_factor", "recovery_code", "request_record"):
        for row in await mesh.pool.fetch(f"SELECT * FROM {table}"):
            stored = b"".join(value for value in row if isinstance(value, bytes))
            assert b32decode(secret) not in stored
            assert not any(code.encode() in stored for code in recovery)


@pytest.mark.parametrize(
    ("method", "request_type"),
    [
        ("ConfirmSecondFactor", pb.ConfirmSecondFactorRequest),
        ("VerifySecondFactor", pb.VerifySecondFactorRequest),
        ("RemoveSecondFactor", pb.RemoveSecondFactorRequest),
        ("EnrollSecondFactor", pb.EnrollSecondFactorRequest),
    ],
)
async def test_names_what_is_wrong(mesh: GatewayMesh, method: str, request_type: Any) -> None:
    await mesh.register()
    session = (await mesh.login()).session
    wrong = ["request_id"] if method.startswith("Enroll") else ["request_id", "code"]
    answer = await refused(getattr(mesh.factors, method), request_type(), **whose(session))
    assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, wrong)
    fields = {"request_id": "r"} | ({} if len(wrong) == 1 else {"code": "000000"})
    nobody = await refused(getattr(mesh.factors, method), request_type(**fields), principal=ADMIN)
    assert nobody.reason == "NO_SESSION"
