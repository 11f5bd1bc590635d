"""Scenes of households: plastic in the mail, an account that is shared, a card that is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from holdfast.accounts.v1 import account_lifecycle_pb2, card_lifecycle_pb2, card_pb2
from holdfast.accounts.v1.card_pb2 import Card, Shipping
from holdfast.authz.v1 import decline_reason_pb2 as reasons
from holdfast.type.v1.spend_controls_pb2 import CalendarWindow, SpendControls, SpendLimit
from runtime import ids
from runtime.clock import SystemClock
from runtime.demo import answers, requests
from runtime.demo.stage import Stage, money
from runtime.mesh_client import CALL_TIMEOUT_S

_ERIN_LIMIT_MINOR = 150_000
_DAILY_MINOR = 4_000


async def plastic(stage: Stage) -> None:
    """A card that comes by mail is of no use to whoever opens the letter."""
    stage.scene("A plastic card is ordered, shipped, delivered, and activated by its holder")
    erin, _ = await requests.new_holder(stage, "Erin", _ERIN_LIMIT_MINOR)
    stage.holders["Erin"] = erin
    kind = card_pb2.Card.KIND_PHYSICAL
    card = await requests.issue_card(stage, erin.account_id, kind=kind)
    for state in (Shipping.STATE_SHIPPED, Shipping.STATE_DELIVERED):
        await stage.mesh.cards.UpdateCardShipping(
            card_lifecycle_pb2.UpdateCardShippingRequest(
                request_id=stage.request_id(), card_id=card.id, state=state, carrier="Post"
            ),
            timeout=CALL_TIMEOUT_S,
        )
    stage.tell("ordered, shipped, delivered: still INACTIVE")
    request = requests.purchase(stage, card.id, 450, requests.COFFEE)
    await answers.declined(stage, request, reasons.DECLINE_REASON_CARD_NOT_ACTIVATED, code="78")
    activated = await stage.mesh.cards.ActivateCard(
        card_lifecycle_pb2.ActivateCardRequest(
            request_id=stage.request_id(),
            card_id=card.id,
            last4=card.last4,
            expiry_month=card.expiry_month,
            expiry_year=card.expiry_year,
        ),
        timeout=CALL_TIMEOUT_S,
    )
    stage.check("state", found=activated.card.state, expected=Card.STATE_ACTIVE)
    stage.tell(f"activated with its last digits, {card.last4}, and its expiry")
    await answers.approved(stage, requests.purchase(stage, card.id, 450, requests.COFFEE))


async def shared(stage: Stage) -> None:
    """Somebody else spends from an account, within limits of their own."""
    stage.scene("Erin shares her account with Finn: 40.00 a day, on all his cards together")
    erin = stage.holders["Erin"]
    finn = ids.IdSource(SystemClock()).new(ids.USER, 0)
    limit = SpendLimit(
        control_id="daily",
        amount=requests.money_of(_DAILY_MINOR),
        calendar=CalendarWindow(unit=CalendarWindow.UNIT_DAY),
    )
    await stage.mesh.accounts.AddAccountUser(
        account_lifecycle_pb2.AddAccountUserRequest(
            request_id=stage.request_id(),
            account_id=erin.account_id,
            user_id=finn,
            controls=SpendControls(limits=[limit]),
        ),
        timeout=CALL_TIMEOUT_S,
    )
    first, second = [
        await requests.issue_card(stage, erin.account_id, user_id=finn) for _ in range(2)
    ]
    await answers.approved(stage, requests.purchase(stage, first.id, 3_000, requests.BOOKS))
    refused = await answers.declined(
        stage,
        requests.purchase(stage, second.id, 1_500, requests.BOOKS),
        reasons.DECLINE_REASON_SPEND_LIMIT_EXCEEDED,
        code="61",
    )
    left = refused.control.left_amount.amount_minor
    told = (refused.control.control_id, left)
    stage.check("the control", found=told, expected=("user/daily", 1_000))
    stage.tell(
        f"user/daily said no to another card of his; {money(left)} are left of it",
        control_id=refused.control.control_id,
        left_minor=left,
    )
    stage.cards["Finn"] = first.id


async def lost(stage: Stage) -> None:
    """A new number, and nothing else is new: no limit begins again."""
    stage.scene("Finn loses his card: it is replaced, and his limit goes on with the new number")
    old = stage.cards["Finn"]
    replaced = await stage.mesh.cards.ReplaceCard(
        card_lifecycle_pb2.ReplaceCardRequest(
            request_id=stage.request_id(),
            card_id=old,
            reason=card_lifecycle_pb2.REPLACEMENT_REASON_LOST,
        ),
        timeout=CALL_TIMEOUT_S,
    )
    new = replaced.card
    stage.tell(f"the new card ends in {new.last4}", card_id=new.id)
    request = requests.purchase(stage, old, 500, requests.COFFEE)
    await answers.declined(stage, request, reasons.DECLINE_REASON_CARD_LOST, code="41")
    request = requests.purchase(stage, new.id, 1_500, requests.BOOKS)
    await answers.declined(stage, request, reasons.DECLINE_REASON_SPEND_LIMIT_EXCEEDED, code="61")
    await answers.approved(stage, requests.purchase(stage, new.id, 1_000, requests.BOOKS))


SCENES: tuple[Callable[[Stage], Awaitable[None]], ...] = (plastic, shared, lost)
