"""Scenes of whole lives: what merchants of every kind do to a purchase after it was approved."""

from __future__ import annotations

import grpc

from holdfast.accounts.v1 import card_service_pb2
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import decline_reason_pb2 as reasons
from holdfast.authz.v1 import movement_pb2 as movements
from holdfast.authz.v1 import spend_usage_pb2
from holdfast.type.v1.spend_controls_pb2 import CalendarWindow, SpendControls, SpendLimit
from runtime.demo import answers, requests
from runtime.demo.stage import Stage, money
from runtime.mesh_client import CALL_TIMEOUT_S
from runtime.request_id import REPLAYED

_CAROL_LIMIT_MINOR = 200_000
_DAVE_LIMIT_MINOR = 3_000

DINER = pb.Merchant(descriptor="Blue Plate Diner", category_code="5812", country_code="US")
FUEL = pb.Merchant(descriptor="Highway Fuel", category_code="5542", country_code="US")
SHOES = pb.Merchant(descriptor="Long Walk Shoes", category_code="5661", country_code="US")
RENTAL = pb.Merchant(descriptor="City Scooters", category_code="7999", country_code="US")


async def accounts(stage: Stage) -> None:
    """What a bank opens for its customers itself."""
    stage.scene("An operator opens two accounts with a card each (gRPC, with a token)")
    for name, limit_minor in (("Carol", _CAROL_LIMIT_MINOR), ("Dave", _DAVE_LIMIT_MINOR)):
        stage.holders[name], card = await requests.new_holder(stage, name, limit_minor)
        stage.tell(
            f"{name}: limit {money(limit_minor)}, virtual card …{card.last4},"
            f" valid to {card.expiry_month:02}/{card.expiry_year}",
            account_id=stage.holders[name].account_id,
            card_id=card.id,
        )


async def _capture(
    stage: Stage, authorization_id: str, amount_minor: int, *, final: bool, held_minor: int
) -> rpc.CaptureAuthorizationResponse:
    """A clearing, shown with what it leaves held."""
    captured = await stage.mesh.network.CaptureAuthorization(
        requests.clearing(stage, authorization_id, amount_minor, final=final),
        timeout=CALL_TIMEOUT_S,
    )
    stage.check("held", found=captured.held_amount.amount_minor, expected=held_minor)
    stage.tell(
        f"cleared {money(amount_minor)}{' (final)' if final else ''}:"
        f" {money(captured.captured_amount.amount_minor)} posted, {money(held_minor)} held",
        captured_minor=captured.captured_amount.amount_minor,
        held_minor=held_minor,
    )
    return captured


async def tip(stage: Stage) -> None:
    """A restaurant clears more than it asked for: the tip."""
    stage.scene("A diner: 50.00 authorized, 60.00 cleared with the tip")
    carol = stage.holders["Carol"]
    held = await answers.approved(stage, requests.purchase(stage, carol.card_id, 5_000, DINER))
    await _capture(stage, held.authorization_id, 6_000, final=True, held_minor=0)
    stage.authorizations["diner"] = held.authorization_id


async def hotel(stage: Stage) -> None:
    """A longer stay: more is reserved, two parts are cleared, the rest is given back."""
    stage.scene("A hotel: 400.00 held, 150.00 more, cleared in two parts, the rest reversed")
    carol, network = stage.holders["Carol"], stage.mesh.network
    request = requests.purchase(stage, carol.card_id, 40_000, requests.HOTEL)
    held = await answers.approved(stage, request)
    more = await network.IncrementAuthorization(
        movements.IncrementAuthorizationRequest(
            request_id=stage.request_id(),
            authorization_id=held.authorization_id,
            amount=requests.money_of(15_000),
        ),
        timeout=CALL_TIMEOUT_S,
    )
    stage.check("increment", found=more.decision, expected=pb.DECISION_APPROVED)
    stage.tell(
        f"{money(15_000)} more, for another night: {money(more.available_credit.amount_minor)}"
        " left",
        available_minor=more.available_credit.amount_minor,
    )
    await _capture(stage, held.authorization_id, 30_000, final=False, held_minor=25_000)
    await _capture(stage, held.authorization_id, 4_500, final=False, held_minor=20_500)
    rest = await network.ReverseAuthorization(
        rpc.ReverseAuthorizationRequest(
            request_id=stage.request_id(), authorization_id=held.authorization_id
        ),
        timeout=CALL_TIMEOUT_S,
    )
    stage.check("released", found=rest.released_amount.amount_minor, expected=20_500)
    stage.tell(
        f"reversed: {money(20_500)} given back, {money(rest.available_credit.amount_minor)} left",
        available_minor=rest.available_credit.amount_minor,
    )


async def fuel(stage: Stage) -> None:
    """The pump asks for much, then tells what was filled."""
    stage.scene("A pump: 100.00 held, 63.40 filled and cleared")
    carol = stage.holders["Carol"]
    request = requests.purchase(stage, carol.card_id, 10_000, FUEL)
    request.network_data.network = "visa"
    request.network_data.transaction_id = stage.request_id()
    held = await answers.approved(stage, request)
    advice = rpc.AuthorizeRequest()
    advice.CopyFrom(request)
    advice.request_id = stage.request_id()
    advice.message_type = pb.MESSAGE_TYPE_AUTHORIZATION_ADVICE
    advice.amount.amount_minor = 6_340
    advised = await stage.mesh.network.Authorize(advice, timeout=CALL_TIMEOUT_S)
    same = (advised.authorization_id, advised.available_credit.amount_minor)
    released = held.available_credit.amount_minor + 3_660
    stage.check("advice", found=same, expected=(held.authorization_id, released))
    stage.tell(f"advice of the network: {money(6_340)} held instead, {money(3_660)} given back")
    await _capture(stage, held.authorization_id, 6_340, final=True, held_minor=0)


async def partial(stage: Stage) -> None:
    """A terminal that can take less gets what there is; any other nothing."""
    stage.scene("Dave has 30.00 and buys shoes for 45.00")
    dave = stage.holders["Dave"]
    request = requests.purchase(stage, dave.card_id, 4_500, SHOES)
    await answers.declined(stage, request, reasons.DECLINE_REASON_INSUFFICIENT_CREDIT, code="51")
    now = await requests.balance(stage, dave)
    available_minor = now.available_credit.amount_minor
    stage.check("available", found=available_minor, expected=_DAVE_LIMIT_MINOR)
    stage.tell(f"a decline is an answer, and costs nothing: {money(available_minor)} left")
    request = requests.purchase(stage, dave.card_id, 4_500, SHOES)
    stage.tell("another terminal can take a part of it:")
    request.point_of_sale.partial_approval_capable = True
    answer = await stage.mesh.network.Authorize(request, timeout=CALL_TIMEOUT_S)
    stage.check("decision", found=answer.decision, expected=pb.DECISION_APPROVED)
    stage.check("approved", found=answer.approved_amount.amount_minor, expected=_DAVE_LIMIT_MINOR)
    stage.check("code", found=answer.response_code, expected="10")
    stage.tell(
        answers.line(request, answer, f"for a part, {money(_DAVE_LIMIT_MINOR)}"),
        style="green",
        response_code="10",
    )


async def refund(stage: Stage) -> None:
    """Money comes back, for a purchase that the card knows."""
    stage.scene("The diner gives 20.00 back")
    answer = await stage.mesh.network.Refund(
        movements.RefundRequest(
            request_id=stage.request_id(),
            authorization_id=stage.authorizations["diner"],
            amount=requests.money_of(2_000),
        ),
        timeout=CALL_TIMEOUT_S,
    )
    stage.check("refunded", found=answer.refunded_amount.amount_minor, expected=2_000)
    stage.tell(
        f"refunded {money(2_000)}: {money(answer.available_credit.amount_minor)} left",
        available_minor=answer.available_credit.amount_minor,
    )


async def expiry(stage: Stage) -> None:
    """A merchant who never clears holds nothing for ever; one who clears late is paid."""
    stage.scene("A deposit that nobody clears expires; a late clearing is posted all the same")
    carol = stage.holders["Carol"]
    held = await answers.approved(stage, requests.purchase(stage, carol.card_id, 8_000, RENTAL))
    expired = await stage.mesh.authorizations.ExpireAuthorization(
        movements.ExpireAuthorizationRequest(
            request_id=stage.request_id(), authorization_id=held.authorization_id
        ),
        timeout=CALL_TIMEOUT_S,
    )
    stage.check("released", found=expired.released_amount.amount_minor, expected=8_000)
    stage.tell(f"expired: {money(8_000)} given back (by itself after days; here by an operator)")
    await _capture(stage, held.authorization_id, 1_200, final=True, held_minor=0)


async def repeat(stage: Stage) -> None:
    """The same request has the same answer, and holds once."""
    stage.scene("A terminal repeats a request, because the first answer was lost")
    carol, network = stage.holders["Carol"], stage.mesh.network
    held_before = (await requests.balance(stage, carol)).held.amount_minor
    request = requests.purchase(stage, carol.card_id, 1_250, requests.COFFEE)
    first = await answers.approved(stage, request)
    call = network.Authorize(request, timeout=CALL_TIMEOUT_S)
    again = await call
    header = REPLAYED[0][0]
    replayed = str(dict(await call.initial_metadata()).get(header))
    stage.check("the answer", found=again, expected=first)
    stage.check(header, found=replayed, expected="true")
    held_minor = (await requests.balance(stage, carol)).held.amount_minor - held_before
    stage.check("held", found=held_minor, expected=1_250)
    stage.tell(
        f"again: code {again.authorization_code}, {header}: {replayed};"
        f" held once, {money(held_minor)}",
        idempotent_replayed=replayed,
    )
    request.amount.amount_minor += 1
    try:
        await network.Authorize(request, timeout=CALL_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        stage.check("other content", found=error.code(), expected=grpc.StatusCode.ALREADY_EXISTS)
        stage.tell(f"the same request id with another amount: {error.code().name}")
    else:
        stage.check("other content", found="an answer", expected="ALREADY_EXISTS")


async def daily_limit(stage: Stage) -> None:
    """A card that may spend so much a day; a refusal says what is left of it."""
    stage.scene("A card that may spend 50.00 a day: a refusal says what is left")
    carol = stage.holders["Carol"]
    card = await requests.issue_card(stage, carol.account_id)
    limit = SpendLimit(
        control_id="daily",
        amount=requests.money_of(5_000),
        calendar=CalendarWindow(unit=CalendarWindow.UNIT_DAY),
    )
    await stage.mesh.cards.SetCardControls(
        card_service_pb2.SetCardControlsRequest(
            request_id=stage.request_id(), card_id=card.id, controls=SpendControls(limits=[limit])
        ),
        timeout=CALL_TIMEOUT_S,
    )
    await answers.approved(stage, requests.purchase(stage, card.id, 3_500, requests.BOOKS))
    refused = await answers.declined(
        stage,
        requests.purchase(stage, card.id, 2_000, requests.BOOKS),
        reasons.DECLINE_REASON_SPEND_LIMIT_EXCEEDED,
        code="61",
    )
    control = refused.control
    told = (control.control_id, control.left_amount.amount_minor)
    stage.check("the control", found=told, expected=("card/daily", 1_500))
    stage.tell(
        f"{control.control_id} has {money(control.left_amount.amount_minor)} left",
        control_id=control.control_id,
        left_minor=control.left_amount.amount_minor,
    )
    await answers.approved(stage, requests.purchase(stage, card.id, 1_500, requests.BOOKS))
    usage = await stage.mesh.authorizations.GetSpendUsage(
        spend_usage_pb2.GetSpendUsageRequest(card_id=card.id), timeout=CALL_TIMEOUT_S
    )
    (used,) = usage.limits
    spent = (used.used_amount.amount_minor, used.used_count, used.left_amount.amount_minor)
    stage.check("usage", found=spent, expected=(5_000, 2, 0))
    stage.tell(
        f"{used.control_id}: {money(5_000)} spent in {used.used_count} purchases; a new day begins"
        f" {used.reset_time.ToDatetime():%H:%M} UTC",
        used_minor=used.used_amount.amount_minor,
    )
