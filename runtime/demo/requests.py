"""The requests of the demonstration, short to write."""

from __future__ import annotations

from holdfast.accounts.v1 import account_pb2, account_service_pb2, card_pb2, card_service_pb2
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.clock import SystemClock
from runtime.demo.stage import CURRENCY, Holder, Stage
from runtime.mesh_client import CALL_TIMEOUT_S

COFFEE = pb.Merchant(descriptor="Corner Coffee", category_code="5814", country_code="US")
HOTEL = pb.Merchant(descriptor="Hotel Meridian", category_code="7011", country_code="US")
BOOKS = pb.Merchant(descriptor="Chapter Two Books", category_code="5942", country_code="US")
ONLINE = pb.Merchant(descriptor="Free Trial Ltd", category_code="5968", country_code="US")


def money_of(amount_minor: int) -> Money:
    """An amount on the wire."""
    return Money(currency_code=CURRENCY, amount_minor=amount_minor)


def purchase(
    stage: Stage, card_id: str, amount_minor: int, merchant: pb.Merchant
) -> rpc.AuthorizeRequest:
    """One purchase."""
    return rpc.AuthorizeRequest(
        request_id=stage.request_id(),
        card_id=card_id,
        amount=money_of(amount_minor),
        merchant=merchant,
    )


def clearing(
    stage: Stage, authorization_id: str, amount_minor: int, *, final: bool
) -> rpc.CaptureAuthorizationRequest:
    """The merchant's claim on a hold."""
    return rpc.CaptureAuthorizationRequest(
        request_id=stage.request_id(),
        authorization_id=authorization_id,
        amount=money_of(amount_minor),
        final=final,
    )


async def open_account(stage: Stage, limit_minor: int) -> account_pb2.Account:
    """An account of a new, made-up owner."""
    request_id = stage.request_id()
    owner_id = ids.IdSource(SystemClock()).new(ids.USER, ids.partition_for_owner(request_id))
    opened = await stage.mesh.accounts.OpenAccount(
        account_service_pb2.OpenAccountRequest(
            request_id=request_id, owner_id=owner_id, credit_limit=money_of(limit_minor)
        ),
        timeout=CALL_TIMEOUT_S,
    )
    return opened.account


async def issue_card(
    stage: Stage,
    account_id: str,
    *,
    kind: card_pb2.Card.Kind.ValueType = card_pb2.Card.KIND_VIRTUAL,
    user_id: str = "",
) -> card_pb2.Card:
    """A new card; but for plastic, it is active at once."""
    issued = await stage.mesh.cards.IssueCard(
        card_service_pb2.IssueCardRequest(
            request_id=stage.request_id(),
            account_id=account_id,
            kind=kind,
            user_id=user_id,
        ),
        timeout=CALL_TIMEOUT_S,
    )
    return issued.card


async def new_holder(stage: Stage, name: str, limit_minor: int) -> tuple[Holder, card_pb2.Card]:
    """Somebody with an account and a card."""
    account = await open_account(stage, limit_minor)
    card = await issue_card(stage, account.id)
    holder = Holder(name=name, account_id=account.id, card_id=card.id, limit_minor=limit_minor)
    return holder, card


async def balance(stage: Stage, holder: Holder) -> rpc.GetBalanceResponse:
    """A holder's balance now."""
    return await stage.mesh.authorizations.GetBalance(
        rpc.GetBalanceRequest(account_id=holder.account_id), timeout=CALL_TIMEOUT_S
    )
