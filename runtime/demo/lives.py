"""Scenes of whole lives: what merchants of every kind do to a purchase after it was approved."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from holdfast.accounts.v1 import card_pb2, card_service_pb2
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import decline_reason_pb2 as reasons
from holdfast.authz.v1 import movement_pb2 as movements
from holdfast.authz.v1 import spend_usage_pb2
from holdfast.type.v1.spend_controls_pb2 import CalendarWindow, SpendControls, SpendLimit
from runtime.demo import answers, requests
from runtime.demo.stage import Holder, Stage, money
from runtime.mesh_client import CALL_TIMEOUT_S

_CAROL_LIMIT_MINOR = 200_000
_DAVE_LIMIT_MINOR = 3_000

DINER = pb.Merchant(descriptor="Blue Plate Diner", category_code="5812", country_code="US")
FUEL = pb.Merchant(descriptor="Highway Fuel", category_code="5542", country_code="US")
SHOES = pb.Merchant(descriptor="Long Walk Shoes", category_code="5661", country_code="US")
RENTAL = pb.Merchant(descriptor="City Scooters", category_code="7999", country_code="US")
ONLINE = pb.Merchant(descriptor="Free Trial Ltd", category_code="5968", country_code="US")


async def _carol(stage: Stage) -> Holder:
    if "Carol" not in stage.holders:
        holder, _ = await requests.new_holder(stage, "Carol", _CAROL_LIMIT_MINOR)
        stage.holders["Carol"] = holder
    return stage.holders["Carol"]


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
        f"cleared {money(amount_minor)}{' (final)' if final else ''}: posted"
        f" {money(captured.captured_amount.amount_minor)}, still held {money(held_minor)}",
        captured_minor=captured.captured_amount.amount_minor,
        held_minor=held_minor,
    )
    return captured


async def tip(stage: Stage) -> None:
    """A restaurant clears more than it asked for: the tip."""
    stage.scene("A diner: 50.00 authorized, 60.00 cleared with the tip")
    carol = await _carol(stage)
    held = await answers.approved(stage, requests.purchase(stage, carol.card_id, 5_000, DINER))
    await _capture(stage, held.authorization_id, 6_000, final=True, held_minor=0)
    stage.authorizations["diner"] = held.authorization_id


async def hotel(stage: Stage) -> None:
    """A longer stay: more is reserved, and it clears in three parts."""
    stage.scene("A hotel: 400.00 held, 150.00 more for another night, cleared in three parts")
    carol = await _carol(stage)
    request = requests.purchase(stage, carol.card_id, 40_000, requests.HOTEL)
    held = await answers.approved(stage, request)
    more = await stage.mesh.network.IncrementAuthorization(
        movements.IncrementAuthorizationRequest(
            request_id=stage.request_id(),
            authorization_id=held.authorization_id,
            amount=requests.money_of(15_000),
        ),
        timeout=CALL_TIMEOUT_S,
    )
    stage.check("increment", found=more.decision, expected=pb.DECISION_APPROVED)
    stage.tell(
        f"incremented by {money(15_000)}: available {money(more.available_credit.amount_minor)}",
        available_minor=more.available_credit.amount_minor,
    )
    await _capture(stage, held.authorization_id, 30_000, final=False, held_minor=25_000)
    await _capture(stage, held.authorization_id, 4_500, final=False, held_minor=20_500)
    await _capture(stage, held.authorization_id, 18_000, final=True, held_minor=0)


async def fuel(stage: Stage) -> None:
    """The pump asks for much, then tells what was filled."""
    stage.scene("A pump: 100.00 held, an advice says 63.40 was filled, 63.40 cleared")
    carol = await _carol(stage)
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
    stage.tell(f"advice: {money(6_340)} held instead, {money(3_660)} given back at once")
    await _capture(stage, held.authorization_id, 6_340, final=True, held_minor=0)


async def partial(stage: Stage) -> None:
    """A terminal that can take less gets what there is."""
    stage.scene("Dave has 30.00 and buys for 45.00 at a terminal that takes a part")
    dave, _ = await requests.new_holder(stage, "Dave", _DAVE_LIMIT_MINOR)
    stage.holders["Dave"] = dave
    request = requests.purchase(stage, dave.card_id, 4_500, SHOES)
    request.point_of_sale.partial_approval_capable = True
    answer = await stage.mesh.network.Authorize(request, timeout=CALL_TIMEOUT_S)
    stage.check("approved", found=answer.approved_amount.amount_minor, expected=3_000)
    stage.check("code", found=answer.response_code, expected="10")
    stage.tell(
        f"{SHOES.descriptor}, {money(4_500)}: APPROVED for {money(3_000)}, DE39 10;"
        f" {money(1_500)} are paid in cash",
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
        f"refunded {money(2_000)}: available {money(answer.available_credit.amount_minor)}",
        available_minor=answer.available_credit.amount_minor,
    )


async def expiry(stage: Stage) -> None:
    """A merchant who never clears holds nothing for ever; one who clears late is paid."""
    stage.scene("A deposit that nobody clears expires; a late clearing posts all the same")
    carol = await _carol(stage)
    held = await answers.approved(stage, requests.purchase(stage, carol.card_id, 8_000, RENTAL))
    expired = await stage.mesh.authorizations.ExpireAuthorization(
        movements.ExpireAuthorizationRequest(
            request_id=stage.request_id(), authorization_id=held.authorization_id
        ),
        timeout=CALL_TIMEOUT_S,
    )
    stage.check("released", found=expired.released_amount.amount_minor, expected=8_000)
    stage.tell(f"expired: {money(8_000)} given back (days later, by itself; here by an operator)")
    await _capture(stage, held.authorization_id, 1_200, final=True, held_minor=0)


async def single_use(stage: Stage) -> None:
    """A card for one purchase."""
    stage.scene("A single-use card pays once")
    carol = await _carol(stage)
    card = await requests.issue_card(stage, carol.account_id, kind=card_pb2.Card.KIND_SINGLE_USE)
    held = await answers.approved(stage, requests.purchase(stage, card.id, 999, ONLINE))
    again = requests.purchase(stage, card.id, 999, ONLINE)
    used = reasons.DECLINE_REASON_SINGLE_USE_ALREADY_USED
    await answers.declined(stage, again, used, code="62")
    await _capture(stage, held.authorization_id, 999, final=True, held_minor=0)


async def daily_limit(stage: Stage) -> None:
    """A card that may spend so much a day; a refusal says what is left of it."""
    stage.scene("A card with a limit of 50.00 a day; a refusal says what is left")
    carol = await _carol(stage)
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
        f"{control.control_id} said no; {money(control.left_amount.amount_minor)} are left of it",
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
        f"GetSpendUsage: {used.control_id} spent {money(5_000)} in 2 purchases, left {money(0)};"
        f" begins anew {used.reset_time.ToJsonString()}",
        used_minor=used.used_amount.amount_minor,
    )


SCENES: tuple[Callable[[Stage], Awaitable[None]], ...] = (
    tip,
    hotel,
    fuel,
    partial,
    refund,
    expiry,
    single_use,
    daily_limit,
)
