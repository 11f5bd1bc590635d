"""The scenes: each shows one thing that a card programme does, and checks that it did."""

from __future__ import annotations

import json
import shlex
from collections.abc import Awaitable, Callable

import grpc
import httpx

from holdfast.accounts.v1 import card_service_pb2
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import decline_reason_pb2 as reasons
from runtime import pki
from runtime.demo import answers, households, lives, requests
from runtime.demo.stage import CURRENCY, Stage, money
from runtime.mesh_client import CALL_TIMEOUT_S
from runtime.request_id import REPLAYED

_ALICE_LIMIT_MINOR = 100_000
_BOB_LIMIT_MINOR = 25_000


async def accounts_and_cards(stage: Stage) -> None:
    """Opens two accounts and issues a card on each."""
    stage.scene("Two accounts, two cards (gRPC at the edge, TLS and a token)")
    for name, limit_minor in (("Alice", _ALICE_LIMIT_MINOR), ("Bob", _BOB_LIMIT_MINOR)):
        holder, card = await requests.new_holder(stage, name, limit_minor)
        stage.holders[name] = holder
        stage.tell(
            f"{name}: credit limit {money(limit_minor)}, virtual card ending in {card.last4},"
            f" valid to {card.expiry_month:02}/{card.expiry_year}",
            account_id=holder.account_id,
            card_id=holder.card_id,
        )


async def authorize_capture_reverse(stage: Stage) -> None:
    """The life of a hold: placed, captured in part, the rest given back."""
    stage.scene("A hotel holds 400.00, clears 300.00, gives the rest back (gRPC over mTLS)")
    alice, network = stage.holders["Alice"], stage.mesh.network
    held = await answers.approved(
        stage, requests.purchase(stage, alice.card_id, 40_000, requests.HOTEL)
    )
    stage.check("available", found=held.available_credit.amount_minor, expected=60_000)
    captured = await network.CaptureAuthorization(
        requests.clearing(stage, held.authorization_id, 30_000, final=False),
        timeout=CALL_TIMEOUT_S,
    )
    stage.check("captured", found=captured.captured_amount.amount_minor, expected=30_000)
    stage.check("held", found=captured.held_amount.amount_minor, expected=10_000)
    stage.tell(
        f"captured {money(30_000)}: posted {money(30_000)}, still held {money(10_000)}",
        available_minor=captured.available_credit.amount_minor,
    )
    reversed_ = await network.ReverseAuthorization(
        rpc.ReverseAuthorizationRequest(
            request_id=stage.request_id(), authorization_id=held.authorization_id
        ),
        timeout=CALL_TIMEOUT_S,
    )
    stage.check("released", found=reversed_.released_amount.amount_minor, expected=10_000)
    stage.check("available", found=reversed_.available_credit.amount_minor, expected=70_000)
    stage.tell(
        f"reversed the rest: released {money(10_000)},"
        f" available {money(reversed_.available_credit.amount_minor)}",
        available_minor=reversed_.available_credit.amount_minor,
    )


async def ask_too_much(stage: Stage) -> None:
    """Nobody spends more than there is."""
    stage.scene("Bob asks for more than he has")
    bob = stage.holders["Bob"]
    request = requests.purchase(stage, bob.card_id, 99_900, requests.JEWELLER)
    await answers.declined(stage, request, reasons.DECLINE_REASON_INSUFFICIENT_CREDIT, code="51")
    now = await requests.balance(stage, bob)
    stage.check("Bob's credit", found=now.available_credit.amount_minor, expected=_BOB_LIMIT_MINOR)
    stage.tell(f"a decline is an answer, and costs nothing: available {money(_BOB_LIMIT_MINOR)}")


async def freeze(stage: Stage) -> None:
    """A frozen card is declined from the very next purchase on."""
    stage.scene("Bob's card is frozen: the very next purchase is declined")
    bob = stage.holders["Bob"]
    await stage.mesh.cards.FreezeCard(
        card_service_pb2.FreezeCardRequest(request_id=stage.request_id(), card_id=bob.card_id),
        timeout=CALL_TIMEOUT_S,
    )
    stage.tell("frozen; the answer came after the authorizer had it")
    request = requests.purchase(stage, bob.card_id, 450, requests.COFFEE)
    await answers.declined(stage, request, reasons.DECLINE_REASON_CARD_FROZEN, code="62")
    await stage.mesh.cards.UnfreezeCard(
        card_service_pb2.UnfreezeCardRequest(request_id=stage.request_id(), card_id=bob.card_id),
        timeout=CALL_TIMEOUT_S,
    )
    await answers.approved(stage, requests.purchase(stage, bob.card_id, 450, requests.COFFEE))


async def repeat(stage: Stage) -> None:
    """The same request has the same answer, and holds once."""
    stage.scene("A terminal repeats a request, because the first answer was lost")
    alice, network = stage.holders["Alice"], stage.mesh.network
    request = requests.purchase(stage, alice.card_id, 1_250, requests.COFFEE)
    first = await answers.approved(stage, request)
    call = network.Authorize(request, timeout=CALL_TIMEOUT_S)
    again = await call
    header = REPLAYED[0][0]
    replayed = str(dict(await call.initial_metadata()).get(header))
    stage.check("the answer", found=again, expected=first)
    stage.check(header, found=replayed, expected="true")
    now = await requests.balance(stage, alice)
    stage.check("held", found=now.held.amount_minor, expected=1_250)
    stage.tell(
        f"the same answer ({again.authorization_code}), {header}: {replayed};"
        f" held once: {money(now.held.amount_minor)}",
        idempotent_replayed=replayed,
    )
    request.amount.amount_minor += 1
    try:
        await network.Authorize(request, timeout=CALL_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        stage.check("other content", found=error.code(), expected=grpc.StatusCode.ALREADY_EXISTS)
        stage.tell(f"the same request id for another amount: {error.code().name}")
    else:
        stage.check("other content", found="an answer", expected="ALREADY_EXISTS")


async def over_json(stage: Stage) -> None:
    """One purchase as a web client makes it."""
    stage.scene("One purchase over JSON, with a token (Envoy transcodes)")
    alice = stage.holders["Alice"]
    body = {
        "card_id": alice.card_id,
        "amount": {"currency_code": CURRENCY, "amount_minor": "2199"},
        "merchant": {"descriptor": requests.BOOKS.descriptor, "category_code": "5942"},
    }
    key = stage.request_id()
    line = curl_line(stage, key, body)
    stage.tell(line, style="dim", curl=line)
    answer = await stage.mesh.web.post(
        "/v1/authorizations", json=body, headers={"Idempotency-Key": key}
    )
    stage.check("HTTP status", found=answer.status_code, expected=httpx.codes.OK)
    decided = answer.json()
    stage.check("decision", found=decided["decision"], expected="DECISION_APPROVED")
    stage.check("code", found=decided["response_code"], expected="00")
    stage.tell(
        f"HTTP {answer.status_code}: {decided['decision']}, code {decided['authorization_code']},"
        f" available {money(int(decided['available_credit']['amount_minor']))}",
        style="green",
        answer=decided,
    )


def curl_line(stage: Stage, key: str, body: object) -> str:
    """The same request for a shell."""
    mesh = stage.mesh
    return shlex.join(
        [
            *("curl", "--cacert", str(pki.ca_path(mesh.settings))),
            *("-H", f"Authorization: Bearer {mesh.tokens.token()}"),
            *("-H", f"Idempotency-Key: {key}"),
            *("-H", "Content-Type: application/json"),
            *("-d", json.dumps(body), f"{mesh.edge_url}/v1/authorizations"),
        ]
    )


SCENES: tuple[Callable[[Stage], Awaitable[None]], ...] = (
    accounts_and_cards,
    authorize_capture_reverse,
    ask_too_much,
    freeze,
    repeat,
    over_json,
    *lives.SCENES,
    *households.SCENES,
)
