"""ApplyAll: many accounts and cards at once, each as if it came alone."""

from __future__ import annotations

from holdfast.authz.v1 import projection_service_pb2 as rpc
from holdfast.type.v1.money_pb2 import Money
from tests.authz_checks import approved, nothing_written, refused
from tests.authz_mesh import ACCOUNTS, AuthzMesh

MANY = range(120)


def _account(number: int, **changes: object) -> rpc.ApplyAccountRequest:
    tag = f"{number % 8:02x}"
    fields: dict[str, object] = {
        "version": 1,
        "account_id": f"acct_{tag}{number:032x}",
        "owner_id": f"usr_{tag}{number:032x}",
        "programme_id": "prog_default",
        "state": rpc.ACCOUNT_STATE_OPEN,
        "credit_limit": Money(currency_code="USD", amount_minor=10_000),
    }
    return rpc.ApplyAccountRequest(**(fields | changes))  # type: ignore[arg-type]


def _card(number: int, **changes: object) -> rpc.ApplyCardRequest:
    card_id = f"card_{number % 8:02x}{number:032x}"
    fields: dict[str, object] = {
        "version": 1,
        "card_id": card_id,
        "account_id": _account(number).account_id,
        "root_card_id": card_id,
        "state": rpc.CARD_STATE_ACTIVE,
        "expiry_month": 12,
        "expiry_year": 2090,
    }
    return rpc.ApplyCardRequest(**(fields | changes))  # type: ignore[arg-type]


async def test_cards_are_usable_and_a_repetition_writes_nothing(mesh: AuthzMesh) -> None:
    """Also where a newer version is there: it stays, and is answered."""
    request = rpc.ApplyAllRequest(
        accounts=[_account(number) for number in MANY], cards=[_card(number) for number in MANY]
    )
    answer = await mesh.projection.ApplyAll(request, metadata=ACCOUNTS)
    assert list(answer.account_versions) == list(answer.card_versions) == [1] * len(MANY)
    await approved(mesh, _card(7).card_id, 100)
    frozen = _card(8, version=3, state=rpc.CARD_STATE_FROZEN)
    await mesh.projection.ApplyCard(frozen, metadata=ACCOUNTS)
    async with nothing_written(mesh.money):
        again = await mesh.projection.ApplyAll(request, metadata=ACCOUNTS)
    assert list(again.card_versions) == [3 if number == 8 else 1 for number in MANY]


async def test_cards_of_accounts_that_are_there(mesh: AuthzMesh) -> None:
    await mesh.projection.ApplyAccount(_account(1), metadata=ACCOUNTS)
    request = rpc.ApplyAllRequest(cards=[_card(1)])
    await mesh.projection.ApplyAll(request, metadata=ACCOUNTS)
    await approved(mesh, _card(1).card_id, 100)


async def test_one_that_is_refused_stops_no_other(mesh: AuthzMesh) -> None:
    request = rpc.ApplyAllRequest(accounts=[_account(1)], cards=[_card(2), _card(1)])
    error = await refused(mesh.projection.ApplyAll, request, metadata=ACCOUNTS)
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "ACCOUNT_NOT_APPLIED")
    await approved(mesh, _card(1).card_id, 100)


async def test_with_one_that_is_wrong_nothing_is_applied(mesh: AuthzMesh) -> None:
    wrong = (
        rpc.ApplyAllRequest(),
        rpc.ApplyAllRequest(accounts=[_account(number) for number in range(501)]),
        rpc.ApplyAllRequest(accounts=[_account(1)], cards=[_card(1, expiry_month=13)]),
    )
    async with nothing_written(mesh.money):
        for request, field in zip(wrong, ("accounts", "accounts", "expiry_month"), strict=True):
            error = await refused(mesh.projection.ApplyAll, request, metadata=ACCOUNTS)
            assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", [field])
