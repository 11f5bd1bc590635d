"""Scenes of a credit account: months of it, while the clock of the books is moved ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import grpc

from holdfast.accounts.v1 import account_service_pb2, card_pb2, programme_pb2
from holdfast.accounts.v1 import programme_service_pb2 as programmes
from holdfast.accounts.v1 import statement_pb2 as pb
from holdfast.accounts.v1 import statement_service_pb2 as rpc
from holdfast.accounts.v1 import terms_pb2 as terms
from holdfast.authz.v1 import authorization_pb2
from holdfast.authz.v1.authorization_service_pb2 import GetBalanceRequest
from holdfast.payments.v1 import payment_pb2
from holdfast.payments.v1 import payment_service_pb2 as payment_rpc
from runtime import ids
from runtime.clock import ms_of
from runtime.demo import answers, paper, paying, requests, web
from runtime.demo.stage import CURRENCY, DemoFailedError, Holder, Stage, money
from runtime.mesh_client import CALL_TIMEOUT_S

_PROGRAMME = "prog_credit"
_LIMIT_MINOR = 300_000
_RATE_BP = 2_499
_FLOOR_MINOR, _LATE_MINOR = 3_500, 2_500
_GROCER = authorization_pb2.Merchant(
    descriptor="Green Grocer", category_code="5411", country_code="US"
)
#: Until the ledger is settled and followed, and billing has looked: a few seconds.
_LOOKS, _LOOK_S = 300, 0.1
_DRAWN_WITHIN_S = 30.0
_AUTOPAY_DAYS = 3
_SUCCEEDED = payment_pb2.Payment.STATE_SUCCEEDED


async def month(stage: Stage) -> None:
    """A month of purchases, and the statement of its cycle."""
    stage.scene("A month of Erin's credit card, and its statement; the clock is moved ahead")
    await _offer(stage)
    erin = stage.holders["Erin"] = await _open(stage, "Erin")
    stage.tell(
        f"limit {money(_LIMIT_MINOR)}, {_RATE_BP / 100} % a year on what is not paid in time,"
        f"\n  late fee {money(_LATE_MINOR)}"
    )
    await _buy(stage, erin, 52_345, requests.HOTEL)
    disputed = await _buy(stage, erin, 12_655, requests.ONLINE)
    stage.authorizations["disputed"] = disputed
    await _move(stage, stage.backstage.today() + timedelta(days=9))
    await _buy(stage, erin, 35_000, _GROCER)
    closes = date.fromisoformat((await _summary(stage, erin)).cycle_end_date)
    await _move(stage, closes + timedelta(days=1))
    found, lines = await _statement(stage, erin, 1)
    paper.show(stage, found, lines)
    stage.check("the balance", found=found.closing_balance.amount_minor, expected=100_000)
    stage.check("the minimum", found=found.minimum_payment.amount_minor, expected=_FLOOR_MINOR)
    await _download(stage, erin, 1)


async def late(stage: Stage) -> None:
    """A due date that passes, and the cycle after it."""
    stage.scene("Nothing is paid by the due date: a late fee, and interest")
    erin = stage.holders["Erin"]
    summary = await _summary(stage, erin)
    due = date.fromisoformat(summary.due_date)
    await _move(stage, due + timedelta(days=1))
    summary = await _summary(stage, erin, bucket=pb.DELINQUENCY_BUCKET_DAYS_1_29)
    stage.tell(
        f"{summary.days_past_due} day late: {money(summary.past_due.amount_minor)} past due",
        style="yellow",
        bucket=pb.DelinquencyBucket.Name(summary.bucket),
    )
    # The fee belongs to this cycle: the clock waits for it.
    await _in_time(
        stage.mesh.authorizations.GetBalance,
        GetBalanceRequest(account_id=erin.account_id),
        lambda found: found.posted.amount_minor == 100_000 + _LATE_MINOR,
    )
    await _move(stage, date.fromisoformat(summary.cycle_end_date) + timedelta(days=1))
    found, lines = await _statement(stage, erin, 2)
    paper.show(stage, found, lines)
    days = (
        date.fromisoformat(found.cycle_end_date) - date.fromisoformat(found.cycle_start_date)
    ).days + 1
    expected = round(Fraction(100_000 * _RATE_BP * days, 10_000 * 365))
    stage.check("the late fee", found=found.totals.fees.amount_minor, expected=_LATE_MINOR)
    stage.check("the interest", found=found.totals.interest.amount_minor, expected=expected)
    balance_minor = 100_000 + _LATE_MINOR + expected
    stage.check("the balance", found=found.closing_balance.amount_minor, expected=balance_minor)
    stage.check("past due", found=found.past_due.amount_minor, expected=_FLOOR_MINOR)
    stage.tell(
        f"checked: {_RATE_BP / 100} % of {money(100_000)} for {days} days are {money(expected)}",
        late_fee_minor=_LATE_MINOR,
        interest_minor=expected,
    )


async def autopay(stage: Stage) -> None:
    """What a statement asks for is paid by itself, in time; nobody is late any more."""
    stage.scene("Erin turns autopay on: the statement is paid three days before it is due")
    erin, mesh = stage.holders["Erin"], stage.mesh
    card = await paying.add_card(stage, erin.account_id)
    await mesh.payments.SetAutopay(
        payment_rpc.SetAutopayRequest(
            request_id=stage.request_id(),
            account_id=erin.account_id,
            enabled=True,
            basis=payment_pb2.PAYMENT_BASIS_STATEMENT_BALANCE,
            days_before_due=_AUTOPAY_DAYS,
        ),
        timeout=CALL_TIMEOUT_S,
    )
    summary = await _summary(stage, erin)
    owed_minor, due = summary.statement_balance.amount_minor, date.fromisoformat(summary.due_date)
    stage.tell(f"{card} is to pay {money(owed_minor)}, due on {due}")
    await _move(stage, due - timedelta(days=_AUTOPAY_DAYS))
    found: payment_rpc.ListPaymentsResponse = await _in_time(
        mesh.payments.ListPayments,
        payment_rpc.ListPaymentsRequest(account_id=erin.account_id),
        lambda one: [each.state for each in one.payments] == [_SUCCEEDED],
    )
    (paid,) = found.payments
    stage.check("what was paid", found=paid.amount.amount_minor, expected=owed_minor)
    stage.check("by whom", found=paid.cause, expected=payment_pb2.Payment.CAUSE_AUTOPAY)
    summary = await _summary(stage, erin, bucket=pb.DELINQUENCY_BUCKET_CURRENT)
    left = (summary.statement_balance_due.amount_minor, summary.minimum_payment_due.amount_minor)
    stage.check("what is left", found=left, expected=(0, 0))
    stage.tell(
        f"{money(owed_minor)} charged through Stripe: nothing is due, nothing is late",
        style="green",
        paid_minor=owed_minor,
        autopay="CAUSE_AUTOPAY",
    )


async def dispute(stage: Stage) -> None:
    """A charge that is not owed in the end; its amount is credited before that is known."""
    stage.scene("Erin disputes a charge: credited at once, provisionally, and won")
    erin, charged_minor = stage.holders["Erin"], 12_655
    posted_minor = (await requests.balance(stage, erin)).posted.amount_minor
    opened = await _act(
        stage,
        f"/v1/authorizations/{stage.authorizations['disputed']}:dispute",
        {"reason": "REASON_NOT_RECEIVED"},
    )
    stage.check("what is disputed", found=opened["amount"], expected=web.json_money(charged_minor))
    stage.tell(
        f"{money(charged_minor)} disputed: acknowledged by {opened['acknowledge_due_time'][:10]} at"
        f" the latest,\n  ended by {opened['resolve_due_time'][:10]}"
    )
    path = f"/v1/disputes/{opened['id']}"
    await _act(stage, f"{path}:acknowledge", {})
    await _act(stage, f"{path}:advance", {"state": "STATE_INVESTIGATING"})
    granted = await _act(stage, f"{path}:grantProvisionalCredit", {})
    credited_minor = int(granted["provisional_credit"]["amount_minor"])
    stage.check("provisional credit", found=credited_minor, expected=charged_minor)
    now_minor = (await requests.balance(stage, erin)).posted.amount_minor
    stage.check("the balance", found=now_minor, expected=posted_minor - charged_minor)
    stage.tell(f"acknowledged, and {money(charged_minor)} credited while the bank looks into it")
    await _act(stage, f"{path}:advance", {"state": "STATE_CHARGEBACK"})
    liability = {
        "merchant": web.json_money(charged_minor),
        "issuer": web.json_money(0),
        "cardholder": web.json_money(0),
    }
    ended = await _act(stage, f"{path}:resolve", {"liability": liability})
    stage.check("its end", found=ended["state"], expected="STATE_WON")
    now_minor = (await requests.balance(stage, erin)).posted.amount_minor
    stage.check("the balance", found=now_minor, expected=posted_minor - charged_minor)
    stage.tell(
        "charged back, and won: the credit stays, the merchant bears it",
        style="green",
        dispute=ended["state"],
        credited_minor=credited_minor,
    )


async def _act(stage: Stage, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What an operator does to a dispute; how it is then."""
    headers = {"Idempotency-Key": stage.request_id()}
    answer = await stage.mesh.web.post(path, json=body, headers=headers)
    found: dict[str, Any] = web.answer_of(stage, answer)["dispute"]
    return found


async def _offer(stage: Stage) -> None:
    """A programme with terms."""
    await stage.mesh.programmes.CreateProgramme(
        programmes.CreateProgrammeRequest(
            request_id=stage.request_id(),
            programme_id=_PROGRAMME,
            display_name="Credit",
            kind=programme_pb2.Programme.KIND_CONSUMER,
            network=programme_pb2.Programme.NETWORK_VISA,
            currency_code=CURRENCY,
            bin="400000",
            underwriting=programme_pb2.Underwriting(
                credit_limit_min=requests.money_of(50_000),
                credit_limit_max=requests.money_of(1_000_000),
            ),
            first_card_kind=card_pb2.Card.KIND_VIRTUAL,
        ),
        timeout=CALL_TIMEOUT_S,
    )
    await stage.mesh.programmes.AddProgrammeTerms(
        programmes.AddProgrammeTermsRequest(
            request_id=stage.request_id(),
            programme_id=_PROGRAMME,
            terms=terms.Terms(
                effective_date=str(stage.backstage.today()),
                annual_rates=[
                    terms.AnnualRate(
                        category=terms.BALANCE_CATEGORY_PURCHASE, percent=str(_RATE_BP / 100)
                    )
                ],
                interest_method=terms.INTEREST_METHOD_DAILY,
                cycle=terms.Cycle(due_days=25, grace=True, time_zone="America/New_York"),
                minimum_payment=terms.MinimumPayment(
                    floor=requests.money_of(_FLOOR_MINOR),
                    percent="1",
                    plus_interest_and_fees=True,
                    plus_past_due=True,
                ),
                fees=terms.Fees(
                    late=requests.money_of(_LATE_MINOR), late_again=requests.money_of(_FLOOR_MINOR)
                ),
            ),
        ),
        timeout=CALL_TIMEOUT_S,
    )


async def _open(stage: Stage, name: str) -> Holder:
    request_id = stage.request_id()
    owner_id = ids.IdSource(stage.backstage.clock).new(
        ids.USER, ids.partition_for_owner(request_id)
    )
    opened = await stage.mesh.accounts.OpenAccount(
        account_service_pb2.OpenAccountRequest(
            request_id=request_id,
            owner_id=owner_id,
            programme_id=_PROGRAMME,
            credit_limit=requests.money_of(_LIMIT_MINOR),
        ),
        timeout=CALL_TIMEOUT_S,
    )
    card = await requests.issue_card(stage, opened.account.id)
    return Holder(
        name=name, account_id=opened.account.id, card_id=card.id, limit_minor=_LIMIT_MINOR
    )


async def _buy(
    stage: Stage, holder: Holder, amount_minor: int, merchant: authorization_pb2.Merchant
) -> str:
    """A purchase that is cleared at once; returns the authorization."""
    request = requests.purchase(stage, holder.card_id, amount_minor, merchant)
    held = await answers.approved(stage, request)
    await stage.mesh.network.CaptureAuthorization(
        requests.clearing(stage, held.authorization_id, amount_minor, final=True),
        timeout=CALL_TIMEOUT_S,
    )
    return held.authorization_id


async def _move(stage: Stage, day: date) -> None:
    """Noon of a day (UTC) has come."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    await stage.backstage.move_clock(ms_of(noon))
    stage.tell(f"the clock is moved to {day}, 12:00 UTC", style="dim")


async def _summary(
    stage: Stage, holder: Holder, *, bucket: pb.DelinquencyBucket.ValueType | None = None
) -> pb.BillingSummary:
    """Where an account stands, once billing knows it (and how late it is, if that is given)."""
    request = rpc.GetBillingSummaryRequest(account_id=holder.account_id)
    answer: rpc.GetBillingSummaryResponse = await _in_time(
        stage.mesh.statements.GetBillingSummary,
        request,
        lambda found: bucket in (None, found.summary.bucket),
    )
    return answer.summary


async def _statement(
    stage: Stage, holder: Holder, number: int
) -> tuple[pb.Statement, list[pb.StatementLine]]:
    """A statement with its lines, once it is issued."""
    request = rpc.GetStatementRequest(account_id=holder.account_id, number=number)
    answer: rpc.GetStatementResponse = await _in_time(
        stage.mesh.statements.GetStatement, request, lambda _: True
    )
    return answer.statement, list(answer.lines)


async def _in_time(method: Any, request: Any, expected: Callable[[Any], bool]) -> Any:
    """The answer as it should be: asked for again and again while billing has not come to it."""
    for _ in range(_LOOKS):
        try:
            answer = await method(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
        else:
            if expected(answer):
                return answer
        await asyncio.sleep(_LOOK_S)
    raise DemoFailedError(f"{request}: not as expected after {_LOOKS * _LOOK_S:.0f} s")


async def _download(stage: Stage, holder: Holder, number: int) -> None:
    """The same as a document."""
    path = f"/v1/accounts/{holder.account_id}/statements/{number}:download"
    # The first document loads what draws it.
    document = await stage.mesh.web.get(path, timeout=_DRAWN_WITHIN_S)
    shown = document.content[:5] if document.is_success else document.text
    stage.check("the document", found=shown, expected=b"%PDF-")
    stage.tell(f"as PDF, {len(document.content):,} bytes: GET\n  {path}", pdf=path)
