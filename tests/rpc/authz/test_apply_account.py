"""ApplyAccount: a higher version is taken over, and seen by every worker's next decision."""

from __future__ import annotations

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as authorization_rpc
from holdfast.authz.v1 import projection_service_pb2 as rpc
from tests.authz_checks import approved, balance, nothing_written, refused, usd
from tests.authz_mesh import (
    ACCOUNTS,
    ADMIN,
    NETWORK,
    AuthzMesh,
    capture_of,
    purchase,
    reversal_of,
)


def _request(account_id: str, **changes: object) -> rpc.ApplyAccountRequest:
    fields: dict[str, object] = {
        "version": 1,
        "account_id": account_id,
        "owner_id": f"usr_{account_id[5:7]}{'0' * 32}",
        "programme_id": "prog_standard",
        "state": rpc.ACCOUNT_STATE_OPEN,
        "credit_limit": usd(1_000),
    }
    return rpc.ApplyAccountRequest(**(fields | changes))  # type: ignore[arg-type]


ACCOUNT = "acct_0a" + "0" * 32


async def test_new_account(mesh: AuthzMesh) -> None:
    answer = await mesh.projection.ApplyAccount(_request(ACCOUNT), metadata=ACCOUNTS)
    assert answer.version == 1
    assert await balance(mesh, ACCOUNT) == (0, 0, 1_000)


async def test_same_and_lower_versions_change_nothing(mesh: AuthzMesh) -> None:
    await mesh.projection.ApplyAccount(_request(ACCOUNT, version=5), metadata=ACCOUNTS)
    async with nothing_written(mesh.money):
        for version in (5, 4, 1):
            answer = await mesh.projection.ApplyAccount(
                _request(ACCOUNT, version=version, credit_limit=usd(9)), metadata=ACCOUNTS
            )
            assert answer.version == 5


async def test_limit_below_what_is_used_leaves_the_balance_as_it_is(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(1_000)
    card = await mesh.issue_card(account)
    await approved(mesh, card, 800)
    await mesh.apply_account(account, version=2, limit_minor=500)
    assert await balance(mesh, account) == (0, 800, -300)
    answer = await mesh.authorization.Authorize(purchase(card, 1), metadata=NETWORK)
    assert answer.decision == pb.DECISION_DECLINED
    await mesh.apply_account(account, version=3, limit_minor=801)
    await approved(mesh, card, 1)


async def test_closed_needs_a_balance_of_nothing(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(1_000)
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 800)
    closed = _request(account, version=2, state=rpc.ACCOUNT_STATE_CLOSED)
    async with nothing_written(mesh.money):
        error = await refused(mesh.projection.ApplyAccount, closed, metadata=ACCOUNTS)
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "ACCOUNT_IN_USE")
    await mesh.authorization.ReverseAuthorization(reversal_of(held), metadata=NETWORK)
    assert (await mesh.projection.ApplyAccount(closed, metadata=ACCOUNTS)).version == 2
    # A late clearing still posts.
    await mesh.authorization.CaptureAuthorization(capture_of(held, 10), metadata=NETWORK)
    assert await balance(mesh, account) == (10, 0, 990)


async def test_currency_never_changes(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(1_000)
    request = _request(account, version=2)
    request.credit_limit.currency_code = "EUR"
    async with nothing_written(mesh.money):
        error = await refused(mesh.projection.ApplyAccount, request, metadata=ACCOUNTS)
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "CURRENCY_CHANGED")


async def test_configuration_is_journaled_and_settled(mesh: AuthzMesh) -> None:
    company = _request(ACCOUNT, owner_id="co_0a" + "1" * 32, parent_account_id="acct_0a" + "2" * 32)
    await mesh.projection.ApplyAccount(company, metadata=ACCOUNTS)
    assert await mesh.settle() == 1
    row = await mesh.ledger.fetchrow("SELECT * FROM journal_entry")
    assert (row["type"], row["seq"], row["limit_minor"]) == ("L", 1, 1_000)
    assert (row["company_id"], row["user_id"]) == ("co_0a" + "1" * 32, None)
    assert (row["principal"], row["request_id"]) == (ACCOUNTS[0][1], f"{ACCOUNT}:1")
    assert rpc.ApplyAccountRequest.FromString(row["request"]) == company
    row = await mesh.ledger.fetchrow("SELECT * FROM account_balance")
    assert (row["currency"], row["seq"], row["limit_minor"]) == ("USD", 1, 1_000)


WRONG: list[tuple[dict[str, object], list[str]]] = [
    ({"version": 0}, ["version"]),
    ({"version": -1}, ["version"]),
    ({"version": 2**53}, ["version"]),
    ({"account_id": ""}, ["account_id"]),
    ({"account_id": "acct_ff" + "0" * 32}, ["account_id"]),
    ({"owner_id": ""}, ["owner_id"]),
    ({"owner_id": "card_0a" + "0" * 32}, ["owner_id"]),
    ({"owner_id": "usr_0b" + "0" * 32}, ["owner_id"]),
    ({"parent_account_id": "acct_0b" + "0" * 32}, ["parent_account_id"]),
    ({"parent_account_id": "x"}, ["parent_account_id"]),
    ({"programme_id": ""}, ["programme_id"]),
    ({"programme_id": "prog_" + "x" * 33}, ["programme_id"]),
    ({"programme_id": "prog_a\n"}, ["programme_id"]),
    ({"state": 0}, ["state"]),
    ({"state": 9}, ["state"]),
    ({"credit_limit": None}, ["credit_limit"]),
    ({"credit_limit": usd(-1)}, ["credit_limit.amount_minor"]),
    ({"credit_limit": usd(2**53)}, ["credit_limit.amount_minor"]),
]


async def test_wrong_fields_are_named_and_nothing_is_written(mesh: AuthzMesh) -> None:
    async with nothing_written(mesh.money):
        for changes, fields in WRONG:
            request = _request(ACCOUNT)
            for name, value in changes.items():
                request.ClearField(name)  # type: ignore[arg-type]
                request.MergeFrom(type(request)(**{name: value}))  # type: ignore[arg-type]
            error = await refused(mesh.projection.ApplyAccount, request, metadata=ACCOUNTS)
            assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", fields), changes


async def test_balance_of_an_account_never_applied(mesh: AuthzMesh) -> None:
    error = await refused(
        mesh.authorization.GetBalance,
        authorization_rpc.GetBalanceRequest(account_id=ACCOUNT),
        metadata=ADMIN,
    )
    assert error.code.name == "NOT_FOUND"
