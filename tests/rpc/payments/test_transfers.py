"""TransferService: a bank's file, taken in once; what belongs to nobody is for staff."""

from __future__ import annotations

import asyncio

import grpc

from holdfast.payments.v1 import back_office_service_pb2, payment_pb2, transfer_pb2
from holdfast.payments.v1 import transfer_service_pb2 as pb
from holdfast.payments.v1.transfer_service_pb2_grpc import TransferServiceStub
from holdfast.type.v1.money_pb2 import Money
from payments.transfer import IMPORT_MAX
from tests.payments_mesh import (
    UNKNOWN_ACCOUNT,
    PaymentsMesh,
    call,
    call_replayed,
    refused,
    usd,
)

Result = transfer_pb2.ImportedTransferResult
CREDITED, EXISTED = Result.OUTCOME_CREDITED, Result.OUTCOME_EXISTED
UNMATCHED, REFUSED = Result.OUTCOME_UNMATCHED, Result.OUTCOME_REFUSED
WIRE, ZELLE = payment_pb2.PAYMENT_SOURCE_WIRE, payment_pb2.PAYMENT_SOURCE_ZELLE


def row(
    reference: str,
    remittance: str = "",
    *,
    amount_minor: int = 4_000,
    source: payment_pb2.PaymentSource.ValueType = WIRE,
    day: str = "2027-01-19",
) -> transfer_pb2.IncomingTransfer:
    return transfer_pb2.IncomingTransfer(
        source=source,
        bank_reference=reference,
        amount=usd(amount_minor),
        receive_date=day,
        remittance=remittance,
    )


def importing(
    mesh: PaymentsMesh, *rows: transfer_pb2.IncomingTransfer, dry: bool = False
) -> pb.ImportTransfersRequest:
    return pb.ImportTransfersRequest(
        request_id=mesh.request_id(), transfers=rows, validate_only=dry
    )


async def imported(
    mesh: PaymentsMesh, *rows: transfer_pb2.IncomingTransfer, dry: bool = False
) -> list[int]:
    stub = TransferServiceStub(mesh.channel)
    answer = await call(stub.ImportTransfers, importing(mesh, *rows, dry=dry))
    await mesh.work()
    return [one.outcome for one in answer.results]


async def unmatched(mesh: PaymentsMesh) -> list[transfer_pb2.UnmatchedTransfer]:
    stub = TransferServiceStub(mesh.channel)
    answer = await call(stub.ListUnmatchedTransfers, pb.ListUnmatchedTransfersRequest())
    return list(answer.transfers)


async def test_a_file_is_taken_in_once(mesh: PaymentsMesh) -> None:
    """Goal: each line is one payment, also if the file, or a line, comes again."""
    one = await mesh.open_account(owed_minor=10_000)
    two = await mesh.open_account(owed_minor=10_000)
    spelled = f"INV 7 {one[:12].upper()} {one[12:].upper()} THANKS"
    rows = [row("FT-1", spelled), row("FT-1", spelled), row("FT-1", two, source=ZELLE)]
    request = importing(mesh, *rows)
    stub = TransferServiceStub(mesh.channel)
    for expected in (False, True):
        answer, replayed = await call_replayed(stub.ImportTransfers, request)
        outcomes = [one.outcome for one in answer.results]
        assert (outcomes, replayed) == ([CREDITED, EXISTED, CREDITED], expected)
        await mesh.work()
    assert await imported(mesh, *reversed(rows)) == [EXISTED] * 3
    assert [await mesh.owed(account) for account in (one, two)] == [(6_000, 0)] * 2
    (made,) = await mesh.listed(one)
    assert (made.id, made.processor_reference) == (answer.results[0].payment_id, "FT-1")
    # At six in the morning of the day, in New York.
    assert made.receive_time.ToJsonString() == "2027-01-19T11:00:00Z"


async def test_what_names_nobody_is_for_staff(mesh: PaymentsMesh) -> None:
    """Goal: listed once however often it comes; whose it is, is said once; then it is off the list,
    and the file may come again.
    """
    account_id = await mesh.open_account(owed_minor=10_000)
    lost = row("FT-2", "for Carol's card")
    euros = row("FT-3", account_id)
    euros.amount.currency_code = "EUR"
    rows = [lost, euros, row("FT-4", UNKNOWN_ACCOUNT), row("FT-5", account_id + UNKNOWN_ACCOUNT)]
    for _ in range(2):
        assert await imported(mesh, *rows) == [UNMATCHED] * 4
    found = {one.transfer.bank_reference: one for one in await unmatched(mesh)}
    assert found["FT-2"].transfer == lost
    reasons = transfer_pb2.UnmatchedTransfer
    assert {name: one.reason for name, one in found.items()} == {
        "FT-2": reasons.REASON_NO_ACCOUNT,
        "FT-3": reasons.REASON_OTHER_CURRENCY,
        "FT-4": reasons.REASON_NO_ACCOUNT,
        "FT-5": reasons.REASON_NO_ACCOUNT,
    }
    recording = back_office_service_pb2.RecordTransferRequest(
        request_id=mesh.request_id(),
        account_id=account_id,
        source=WIRE,
        bank_reference="FT-2",
        amount=usd(4_001),
    )
    assert (await refused(mesh.office.RecordTransfer, recording)).reason == "TRANSFER_EXISTS"
    recording.amount.amount_minor = 4_000
    recording.request_id = mesh.request_id()
    await call(mesh.office.RecordTransfer, recording)
    await mesh.work()
    assert await mesh.owed(account_id) == (6_000, 0)
    dismissing = pb.DismissTransferRequest(
        request_id=mesh.request_id(), source=WIRE, bank_reference="FT-3"
    )
    stub = TransferServiceStub(mesh.channel)
    for expected in (False, True):
        gone, replayed = await call_replayed(stub.DismissTransfer, dismissing)
        assert (gone.transfer.transfer, replayed) == (euros, expected)
    assert {one.transfer.bank_reference for one in await unmatched(mesh)} == {"FT-4", "FT-5"}
    assert await imported(mesh, *rows) == [EXISTED, EXISTED, UNMATCHED, UNMATCHED]
    assert await mesh.owed(account_id) == (6_000, 0)


async def test_wrong_rows_are_named_and_the_others_go_on(mesh: PaymentsMesh) -> None:
    account_id = await mesh.open_account(owed_minor=10_000)
    nothing = transfer_pb2.IncomingTransfer()
    wrong = [
        row("FT-1", account_id, amount_minor=0),
        row("FT-1", account_id, amount_minor=-1),
        row("FT-1", account_id, source=payment_pb2.PAYMENT_SOURCE_ACH),
        row("FT-1", account_id, day="2026-10-21"),
        row("FT-1", account_id, day="2027-01-22"),
        row("FT-1", account_id, day="19.1.2027"),
        row("x" * 65, "y" * 141),
        row("FT-1 ", account_id),
    ]
    stub = TransferServiceStub(mesh.channel)
    request = importing(mesh, nothing, *wrong, row("FT-1", account_id))
    answer = await call(stub.ImportTransfers, request)
    assert [[wrong.field for wrong in one.violations] for one in answer.results] == [
        ["source", "bank_reference", "amount", "receive_date"],
        ["amount.amount_minor"],
        ["amount.amount_minor"],
        ["source"],
        ["receive_date"],
        ["receive_date"],
        ["receive_date"],
        ["bank_reference", "remittance"],
        ["bank_reference"],
        [],
    ]
    outcomes = [one.outcome for one in answer.results]
    assert outcomes == [REFUSED] * 9 + [CREDITED]
    again = row("FT-1", account_id, amount_minor=4_001)
    assert await imported(mesh, again) == [REFUSED]
    await imported(mesh, row("FT-9"))
    assert await imported(mesh, row("FT-9", amount_minor=1)) == [REFUSED]
    assert await mesh.owed(account_id) == (6_000, 0)


async def test_a_rehearsal_does_nothing(mesh: PaymentsMesh) -> None:
    account_id = await mesh.open_account(owed_minor=10_000)
    rows = [row("FT-1", account_id), row("FT-2", "nobody"), row("", account_id)]
    assert await imported(mesh, *rows, dry=True) == [CREDITED, UNMATCHED, REFUSED]
    assert (await mesh.owed(account_id), await unmatched(mesh)) == ((10_000, 0), [])
    assert await imported(mesh, *rows) == [CREDITED, UNMATCHED, REFUSED]


async def test_the_same_file_at_the_same_time(mesh: PaymentsMesh) -> None:
    """Goal: two who import it, and a third who records a line by hand, make one payment of it."""
    account_id = await mesh.open_account(owed_minor=10_000)
    rows = [row(f"FT-{number}", account_id, amount_minor=100) for number in range(20)]
    recording = back_office_service_pb2.RecordTransferRequest(
        request_id=mesh.request_id(),
        account_id=account_id,
        source=WIRE,
        bank_reference="FT-7",
        amount=usd(100),
    )
    await asyncio.gather(
        imported(mesh, *rows),
        imported(mesh, *reversed(rows)),
        call(mesh.office.RecordTransfer, recording),
    )
    await mesh.work()
    assert await mesh.owed(account_id) == (8_000, 0)
    assert len(await mesh.listed(account_id)) == 20


async def test_refusals(mesh: PaymentsMesh) -> None:
    stub = TransferServiceStub(mesh.channel)
    found = await refused(stub.ImportTransfers, pb.ImportTransfersRequest())
    assert found.fields == ["request_id", "transfers"]
    many = importing(mesh, *[row("FT-1")] * (IMPORT_MAX + 1))
    assert (await refused(stub.ImportTransfers, many)).fields == ["transfers"]
    request = importing(mesh, row("FT-1"))
    await call(stub.ImportTransfers, request)
    request.transfers[0].amount.CopyFrom(Money(currency_code="USD", amount_minor=1))
    found = await refused(stub.ImportTransfers, request)
    assert (found.code, found.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    found = await refused(stub.DismissTransfer, pb.DismissTransferRequest())
    assert found.fields == ["request_id", "source", "bank_reference"]
    unknown = pb.DismissTransferRequest(
        request_id=mesh.request_id(), source=WIRE, bank_reference="FT-0"
    )
    found = await refused(stub.DismissTransfer, unknown)
    assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "TRANSFER_NOT_FOUND")
    page = pb.ListUnmatchedTransfersRequest(page_size=-1, page_token="junk")
    found = await refused(stub.ListUnmatchedTransfers, page)
    assert found.fields == ["page_size", "page_token"]


async def test_the_list_has_pages(mesh: PaymentsMesh) -> None:
    for number in range(3):
        await imported(mesh, row(f"FT-{number}"))
        mesh.clock.advance(1)
    stub = TransferServiceStub(mesh.channel)
    request = pb.ListUnmatchedTransfersRequest(page_size=2)
    first = await call(stub.ListUnmatchedTransfers, request)
    request.page_token = first.next_page_token
    second = await call(stub.ListUnmatchedTransfers, request)
    names = [one.transfer.bank_reference for one in (*first.transfers, *second.transfers)]
    assert (names, second.next_page_token) == (["FT-2", "FT-1", "FT-0"], "")
