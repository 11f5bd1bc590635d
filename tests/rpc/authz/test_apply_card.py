"""ApplyCard: a higher version is taken over, and fences decisions made on the one before."""

from __future__ import annotations

import asyncio

from authz.__main__ import SERVICE_NAMES, Worker
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2_grpc as authorization_grpc
from holdfast.authz.v1 import decline_reason_pb2 as reasons
from holdfast.authz.v1 import projection_service_pb2 as rpc
from holdfast.authz.v1 import projection_service_pb2_grpc as projection_grpc
from runtime.channel import unix_channel
from runtime.server import Server
from tests.authz_checks import approved, nothing_written, refused
from tests.authz_mesh import ACCOUNTS, NETWORK, AuthzMesh, purchase, until_serving

CARD = "card_0a" + "1" * 32


def _request(account_id: str, **changes: object) -> rpc.ApplyCardRequest:
    fields: dict[str, object] = {
        "version": 1,
        "card_id": CARD,
        "account_id": account_id,
        "root_card_id": CARD,
        "state": rpc.CARD_STATE_ACTIVE,
        "expiry_month": 12,
        "expiry_year": 2090,
    }
    return rpc.ApplyCardRequest(**(fields | changes))  # type: ignore[arg-type]


async def test_new_card_is_usable_at_once(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    unknown = await mesh.authorization.Authorize(purchase(CARD, 1), metadata=NETWORK)
    assert unknown.decline_reason == reasons.DECLINE_REASON_CARD_NOT_FOUND
    answer = await mesh.projection.ApplyCard(_request(account), metadata=ACCOUNTS)
    assert answer.version == 1
    await approved(mesh, CARD, 1)


async def test_same_and_lower_versions_change_nothing(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    await mesh.projection.ApplyCard(_request(account, version=5), metadata=ACCOUNTS)
    async with nothing_written(mesh.money):
        for version in (5, 4, 1):
            late = _request(account, version=version, state=rpc.CARD_STATE_CLOSED)
            answer = await mesh.projection.ApplyCard(late, metadata=ACCOUNTS)
            assert answer.version == 5
    await approved(mesh, CARD, 1)


async def test_card_before_its_account_is_refused(mesh: AuthzMesh) -> None:
    async with nothing_written(mesh.money):
        error = await refused(
            mesh.projection.ApplyCard, _request("acct_0a" + "0" * 32), metadata=ACCOUNTS
        )
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "ACCOUNT_NOT_APPLIED")


async def test_changes_through_another_worker_count_at_once(mesh: AuthzMesh) -> None:
    """Goal: a cached snapshot never decides. Method: a second worker takes the change over while
    the first has card and account in its cache.
    """
    account = await mesh.open_account(1_000)
    card = await mesh.issue_card(account)
    await approved(mesh, card, 1)
    settings = mesh.settings.model_copy(update={"instance": "authz-1"})
    server = Server(settings.socket)
    worker = Worker(settings, server, clock=mesh.clock)
    await server.start(SERVICE_NAMES)
    await worker.start()
    try:
        await until_serving(server)
        async with unix_channel(settings.socket) as channel:
            second = projection_grpc.ProjectionServiceStub(channel)
            authorizing = authorization_grpc.AuthorizationServiceStub(channel)
            freeze = rpc.ApplyCardRequest(
                version=2,
                card_id=card,
                account_id=account,
                root_card_id=card,
                state=rpc.CARD_STATE_FROZEN,
                expiry_month=12,
                expiry_year=2090,
            )
            await second.ApplyCard(freeze, metadata=ACCOUNTS)
            answer = await mesh.authorization.Authorize(purchase(card, 1), metadata=NETWORK)
            assert answer.decline_reason == reasons.DECLINE_REASON_CARD_FROZEN
            freeze.version, freeze.state = 3, rpc.CARD_STATE_ACTIVE
            await second.ApplyCard(freeze, metadata=ACCOUNTS)
            closing = rpc.ApplyAccountRequest(
                version=2,
                account_id=account,
                owner_id=f"usr_{account[5:7]}{'0' * 32}",
                programme_id="prog_standard",
                state=rpc.ACCOUNT_STATE_CLOSING,
            )
            closing.credit_limit.currency_code = "USD"
            await second.ApplyAccount(closing, metadata=ACCOUNTS)
            answer = await mesh.authorization.Authorize(purchase(card, 1), metadata=NETWORK)
            assert answer.decline_reason == reasons.DECLINE_REASON_ACCOUNT_CLOSED
            closing.version, closing.state = 3, rpc.ACCOUNT_STATE_OPEN
            closing.credit_limit.amount_minor = 50
            await second.ApplyAccount(closing, metadata=ACCOUNTS)
            both = await asyncio.gather(
                *(
                    stub.Authorize(purchase(card, 10), metadata=NETWORK)
                    for stub in (mesh.authorization, authorizing)
                    for _ in range(10)
                )
            )
            assert sum(a.decision == pb.DECISION_APPROVED for a in both) == 4
    finally:
        await server.grpc_server.stop(None)
        await worker.stop()


async def test_freezing_races_with_purchases(mesh: AuthzMesh) -> None:
    """After the answer to the freeze not one purchase is approved."""
    account = await mesh.open_account(1_000)
    card = await mesh.issue_card(account)
    before = [
        asyncio.ensure_future(mesh.authorization.Authorize(purchase(card, 1), metadata=NETWORK))
        for _ in range(30)
    ]
    await mesh.apply_card(card, account, version=2, state=rpc.CARD_STATE_FROZEN)
    after = await asyncio.gather(
        *(mesh.authorization.Authorize(purchase(card, 1), metadata=NETWORK) for _ in range(30))
    )
    await asyncio.gather(*before)
    assert {a.decline_reason for a in after} == {reasons.DECLINE_REASON_CARD_FROZEN}


WRONG: list[tuple[dict[str, object], list[str]]] = [
    ({"version": 0}, ["version"]),
    ({"version": 2**53}, ["version"]),
    ({"card_id": ""}, ["card_id"]),
    ({"card_id": "card_0A" + "0" * 32}, ["card_id"]),
    ({"account_id": ""}, ["account_id"]),
    ({"account_id": "acct_0b" + "0" * 32}, ["account_id"]),
    ({"root_card_id": ""}, ["root_card_id"]),
    ({"root_card_id": "card_0b" + "0" * 32}, ["root_card_id"]),
    ({"state": 0}, ["state"]),
    ({"state": 8}, ["state"]),
    ({"expiry_month": 0}, ["expiry_month"]),
    ({"expiry_month": 13}, ["expiry_month"]),
    ({"expiry_year": 90}, ["expiry_year"]),
    ({"expiry_year": 2100}, ["expiry_year"]),
]


async def test_wrong_fields_are_named_and_nothing_is_written(mesh: AuthzMesh) -> None:
    async with nothing_written(mesh.money):
        for changes, fields in WRONG:
            request = _request("acct_0a" + "0" * 32)
            for name, value in changes.items():
                request.ClearField(name)  # type: ignore[arg-type]
                request.MergeFrom(type(request)(**{name: value}))  # type: ignore[arg-type]
            error = await refused(mesh.projection.ApplyCard, request, metadata=ACCOUNTS)
            assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", fields), changes
