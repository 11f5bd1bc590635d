"""GetTrialBalance: debits and credits of every ledger account, which sum to zero."""

from __future__ import annotations

from holdfast.authz.v1 import ledger_pb2 as pb
from holdfast.authz.v1 import ledger_service_pb2 as rpc
from holdfast.type.v1.money_pb2 import Money
from tests.authz_checks import approved, refused, usd
from tests.authz_mesh import ADMIN, NETWORK, AuthzMesh, capture_of, purchase


async def _balance(mesh: AuthzMesh, currency: str = "") -> rpc.GetTrialBalanceResponse:
    answer: rpc.GetTrialBalanceResponse = await mesh.ledger_service.GetTrialBalance(
        rpc.GetTrialBalanceRequest(currency_code=currency), metadata=ADMIN
    )
    return answer


async def test_nothing_settled(mesh: AuthzMesh) -> None:
    assert await _balance(mesh) == rpc.GetTrialBalanceResponse()


async def test_rows_by_currency_and_account(mesh: AuthzMesh) -> None:
    held = await approved(mesh, await mesh.card(), 1_000)
    await mesh.authorization.CaptureAuthorization(capture_of(held, 400), metadata=NETWORK)
    await mesh.authorization.CaptureAuthorization(capture_of(held, 50), metadata=NETWORK)
    yen = await mesh.issue_card(await mesh.open_account(currency="JPY", partition=63))
    request = purchase(yen, 7)
    request.amount.currency_code = "JPY"
    answer = await mesh.authorization.Authorize(request, metadata=NETWORK)
    clearing = capture_of(answer.authorization_id, 7)
    clearing.amount.currency_code = "JPY"
    await mesh.authorization.CaptureAuthorization(clearing, metadata=NETWORK)
    assert await mesh.settle() == 9
    found = await _balance(mesh)

    def row(account: str, currency: str, debit: int, credit: int) -> pb.TrialBalanceRow:
        return pb.TrialBalanceRow(
            ledger_account=account,
            debit=Money(currency_code=currency, amount_minor=debit),
            credit=Money(currency_code=currency, amount_minor=credit),
            balance=Money(currency_code=currency, amount_minor=debit - credit),
        )

    assert list(found.rows) == [
        row("network_clearing", "JPY", 0, 7),
        row("receivable.purchase", "JPY", 7, 0),
        row("network_clearing", "USD", 0, 450),
        row("receivable.purchase", "USD", 450, 0),
    ]
    assert found.entry_count == 9
    only = await _balance(mesh, "USD")
    assert [r.balance for r in only.rows] == [usd(-450), usd(450)]
    assert not (await _balance(mesh, "EUR")).rows


async def test_unknown_currency_is_refused(mesh: AuthzMesh) -> None:
    for currency in ("usd", "XXX", "US", "USD ", "U" * 1000):
        error = await refused(
            mesh.ledger_service.GetTrialBalance,
            rpc.GetTrialBalanceRequest(currency_code=currency),
            metadata=ADMIN,
        )
        assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", ["currency_code"])
