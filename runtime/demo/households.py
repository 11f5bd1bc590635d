"""Scenes of a household: plastic in the mail, an account that is shared, a card that is lost."""

from __future__ import annotations

import asyncio
from typing import Any

from holdfast.accounts.v1 import card_lifecycle_pb2
from holdfast.accounts.v1.card_pb2 import Shipping
from holdfast.authz.v1 import decline_reason_pb2 as reasons
from runtime.demo import answers, requests, web
from runtime.demo.customers import register
from runtime.demo.stage import Stage, money
from runtime.mesh_client import CALL_TIMEOUT_S

_DAILY_MINOR = 4_000


async def _issue(stage: Stage, **fields: str) -> dict[str, Any]:
    """A new card on Alice's account, as she orders it."""
    alice = stage.people["Alice"]
    body = {"account_id": stage.holders["Alice"].account_id, "kind": "KIND_VIRTUAL", **fields}
    card: dict[str, Any] = (await web.post(stage, "/v1/cards", body, alice.bearer))["card"]
    return card


async def plastic(stage: Stage) -> None:
    """A card that comes by mail is of no use to whoever opens the letter."""
    stage.scene("Alice orders a plastic card; it works once she has activated it")
    card = await _issue(stage, kind="KIND_PHYSICAL")
    for state in (Shipping.STATE_SHIPPED, Shipping.STATE_DELIVERED):
        shipped = await stage.mesh.cards.UpdateCardShipping(
            card_lifecycle_pb2.UpdateCardShippingRequest(
                request_id=stage.request_id(), card_id=card["id"], state=state, carrier="Post"
            ),
            timeout=CALL_TIMEOUT_S,
        )
        stage.check("shipping", found=shipped.card.shipping.state, expected=state)
    stage.tell("ordered, shipped, delivered")
    request = requests.purchase(stage, card["id"], 450, requests.COFFEE)
    await answers.declined(stage, request, reasons.DECLINE_REASON_CARD_NOT_ACTIVATED, code="78")
    printed = {name: card[name] for name in ("last4", "expiry_month", "expiry_year")}
    path = f"/v1/cards/{card['id']}:activate"
    activated = await web.post(stage, path, printed, stage.people["Alice"].bearer)
    stage.check("state", found=activated["card"]["state"], expected="STATE_ACTIVE")
    stage.tell(
        f"activated with what is printed on it: …{card['last4']},"
        f" {card['expiry_month']:02}/{card['expiry_year']}",
        activated=activated["card"]["state"],
    )
    await answers.approved(stage, requests.purchase(stage, card["id"], 450, requests.COFFEE))


async def shared(stage: Stage) -> None:
    """Somebody else spends from an account, within limits of their own."""
    stage.scene("Alice shares her account with Ben: 40.00 a day, on all his cards together")
    alice, account_id = stage.people["Alice"], stage.holders["Alice"].account_id
    ben, _ = await register(stage, "Ben")
    limit = {
        "control_id": "daily",
        "amount": web.json_money(_DAILY_MINOR),
        "calendar": {"unit": "UNIT_DAY"},
    }
    await web.post(
        stage,
        f"/v1/accounts/{account_id}/users/{ben}:add",
        {"controls": {"limits": [limit]}},
        alice.bearer,
    )
    first, second = [await _issue(stage, user_id=ben) for _ in range(2)]
    await answers.approved(stage, requests.purchase(stage, first["id"], 3_000, requests.BOOKS))
    refused = await answers.declined(
        stage,
        requests.purchase(stage, second["id"], 1_500, requests.BOOKS),
        reasons.DECLINE_REASON_SPEND_LIMIT_EXCEEDED,
        code="61",
    )
    control = refused.control
    left = control.left_amount.amount_minor
    stage.check("the control", found=(control.control_id, left), expected=("user/daily", 1_000))
    stage.tell(
        f"another card of his, the same limit: {control.control_id} has {money(left)} left",
        control_id=control.control_id,
        left_minor=left,
    )
    stage.cards["Ben"] = first["id"]


async def freeze(stage: Stage) -> None:
    """A frozen card is declined from the very next purchase on."""
    stage.scene("Alice freezes her card: the very next purchase is declined")
    alice, card_id = stage.people["Alice"], stage.holders["Alice"].card_id
    loop = asyncio.get_running_loop()
    began = loop.time()
    frozen = await web.post(stage, f"/v1/cards/{card_id}:freeze", {}, alice.bearer)
    took_ms = (loop.time() - began) * 1000
    stage.check("state", found=frozen["card"]["state"], expected="STATE_FROZEN")
    stage.tell(f"frozen within {took_ms:.0f} ms: the answer comes once the authorizer has it")
    request = requests.purchase(stage, card_id, 450, requests.COFFEE)
    await answers.declined(stage, request, reasons.DECLINE_REASON_CARD_FROZEN, code="62")
    await web.post(stage, f"/v1/cards/{card_id}:unfreeze", {}, alice.bearer)
    stage.tell("unfrozen")
    await answers.approved(stage, requests.purchase(stage, card_id, 450, requests.COFFEE))


async def lost(stage: Stage) -> None:
    """A new number, and nothing else is new: no limit begins again."""
    stage.scene("Ben loses his card: a new one replaces it, and his limit goes on")
    old = stage.cards["Ben"]
    replaced = await web.post(
        stage,
        f"/v1/cards/{old}:replace",
        {"reason": "REPLACEMENT_REASON_LOST"},
        stage.people["Alice"].bearer,
    )
    new = replaced["card"]
    stage.tell(f"Alice reports it: the new card is …{new['last4']}", replaced_by=new["id"])
    request = requests.purchase(stage, old, 500, requests.COFFEE)
    await answers.declined(stage, request, reasons.DECLINE_REASON_CARD_LOST, code="41")
    request = requests.purchase(stage, new["id"], 1_500, requests.BOOKS)
    await answers.declined(stage, request, reasons.DECLINE_REASON_SPEND_LIMIT_EXCEEDED, code="61")
    await answers.approved(stage, requests.purchase(stage, new["id"], 1_000, requests.BOOKS))


async def single_use(stage: Stage) -> None:
    """A card for one purchase."""
    stage.scene("Alice gets a single-use card: it pays once")
    card = await _issue(stage, kind="KIND_SINGLE_USE")
    await answers.approved(stage, requests.purchase(stage, card["id"], 999, requests.ONLINE))
    again = requests.purchase(stage, card["id"], 999, requests.ONLINE)
    used = reasons.DECLINE_REASON_SINGLE_USE_ALREADY_USED
    await answers.declined(stage, again, used, code="62")
