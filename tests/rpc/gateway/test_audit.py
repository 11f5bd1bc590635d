"""Signing in and out leaves entries in the audit log, and no secret there."""

from __future__ import annotations

from holdfast.gateway.v1 import session_service_pb2 as pb
from tests.accounts_mesh import refused
from tests.gateway_mesh import ANONYMOUS, EMAIL, PASSWORD, GatewayMesh, whose


async def test_sign_in_is_recorded_and_nothing_secret_with_it(mesh: GatewayMesh) -> None:
    """Register, a wrong password, a right one, a refresh: who, how it ended, and nobody's name."""
    user_id = await mesh.register()
    wrong = pb.LoginRequest(request_id="wrong-1", email=EMAIL, password="not the password")
    await refused(mesh.stub.Login, wrong, principal=ANONYMOUS)
    signed_in = await mesh.login()
    renewed = await mesh.refresh(signed_in.tokens.refresh_token)

    rows = await mesh.pool.fetch(
        "SELECT * FROM audit.entry WHERE service = 'gateway' ORDER BY id DESC LIMIT 4"
    )
    register, failed, login, refresh = reversed(rows)
    methods = [row["method"].rpartition("/")[2] for row in (register, failed, login, refresh)]
    assert methods == ["Register", "Login", "Login", "Refresh"]
    assert [row["code"] for row in rows[::-1]] == ["OK", "UNAUTHENTICATED", "OK", "OK"]
    assert user_id in register["targets"]
    assert user_id in login["targets"]
    text = repr([dict(row) for row in rows])
    for secret in (
        *(EMAIL, PASSWORD, "not the password", "Ada"),
        *(
            signed_in.tokens.access_token,
            signed_in.tokens.refresh_token,
            renewed.tokens.refresh_token,
        ),
    ):
        assert secret not in text


async def test_what_only_the_cache_has_is_recorded_before_it_changes(mesh: GatewayMesh) -> None:
    """Goal: whoever dies between a change of sessions and its entry leaves the entry. Method: the
    cache Valkey is lost, so nothing can have changed; entries of attempts are there, and that they
    failed.
    """
    await mesh.register()
    signed_in = await mesh.login()
    caller = whose(signed_in.session)

    async def recorded(count: int) -> list[tuple[str, str, str]]:
        rows = await mesh.pool.fetch(
            "SELECT method, code, reason FROM audit.entry WHERE service = 'gateway'"
            " ORDER BY id DESC LIMIT $1",
            count,
        )
        return [
            (row["method"].rpartition("/")[2], row["code"], row["reason"]) for row in rows[::-1]
        ]

    assert await recorded(1) == [("Login", "OK", "WRITTEN_AHEAD")]
    logout, revoke = pb.LogoutRequest(request_id="o"), pb.RevokeSessionRequest(request_id="r")
    revoke.session_id = signed_in.session.id
    await mesh.sessions._pipe.stop()
    for method, request in ((mesh.stub.Logout, logout), (mesh.stub.RevokeSession, revoke)):
        assert (await refused(method, request, **caller)).reason == "GATEWAY_NOT_READY"
    assert await recorded(4) == [
        ("Logout", "OK", "WRITTEN_AHEAD"),
        ("Logout", "UNAVAILABLE", "GATEWAY_NOT_READY"),
        ("RevokeSession", "OK", "WRITTEN_AHEAD"),
        ("RevokeSession", "UNAVAILABLE", "GATEWAY_NOT_READY"),
    ]
