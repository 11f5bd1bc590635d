"""What tests of the authorizer look at: errors and their details, replays, all of Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from redis.asyncio import Redis

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.type.v1.money_pb2 import Money
from tests.authz_mesh import ADMIN, NETWORK, AuthzMesh, purchase

REPLAYED = "idempotent-replayed"
#: A well-formed card that nobody issued.
UNKNOWN_CARD = "card_0a" + "0" * 32
UNKNOWN_AUTHORIZATION = "auth_0a" + "0" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An error as a caller sees it."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: dict[str, str]
    fields: list[str]


def refusal_of(error: grpc.aio.AioRpcError) -> Refused:
    """The details of an error; each carries one ErrorInfo."""
    status = rpc_status.from_call(error)
    assert status is not None, error
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    infos = [detail for detail in status.details if detail.Is(info.DESCRIPTOR)]
    assert len(infos) == 1
    infos[0].Unpack(info)
    for detail in status.details:
        detail.Unpack(bad_request)
    assert info.domain == "holdfast"
    return Refused(
        code=error.code(),
        reason=info.reason,
        message=error.details() or "",
        metadata=dict(info.metadata),
        fields=[violation.field for violation in bad_request.field_violations],
    )


async def refused(method: Any, request: Message | bytes, **options: Any) -> Refused:
    """The error that a call ends with."""
    options.setdefault("metadata", NETWORK)
    try:
        answer = await method(request, **options)
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
    raise AssertionError(f"the call succeeded: {answer}")


async def answered(method: Any, request: Message, **options: Any) -> tuple[Any, bool]:
    """The answer of a call, and whether it says that it was stored before."""
    options.setdefault("metadata", NETWORK)
    call = method(request, **options)
    answer = await call
    return answer, (REPLAYED, "true") in tuple(await call.initial_metadata() or ())


async def dump(money: Redis) -> dict[bytes, bytes | None]:
    """Every key with its content, exactly."""
    found: dict[bytes, bytes | None] = {}
    async for key in money.scan_iter(count=1000):
        found[key] = await money.dump(key)
    return found


@asynccontextmanager
async def nothing_written(money: Redis) -> AsyncIterator[None]:
    """Asserts that what happens inside leaves no trace."""
    before = await dump(money)
    yield
    after = await dump(money)
    assert after == before


async def balance(mesh: AuthzMesh, account_id: str) -> tuple[int, int, int]:
    """(posted, held, available) of an account now."""
    found = await mesh.authorization.GetBalance(
        rpc.GetBalanceRequest(account_id=account_id), metadata=ADMIN
    )
    return (
        found.posted.amount_minor,
        found.held.amount_minor,
        found.available_credit.amount_minor,
    )


async def approved(mesh: AuthzMesh, card_id: str, amount_minor: int) -> str:
    """The id of a purchase that was approved in full."""
    answer = await mesh.authorization.Authorize(purchase(card_id, amount_minor), metadata=NETWORK)
    assert answer.decision == pb.DECISION_APPROVED
    assert answer.approved_amount.amount_minor == amount_minor
    return answer.authorization_id


async def fetched(
    mesh: AuthzMesh, authorization_id: str, metadata: Any = NETWORK
) -> pb.Authorization:
    """One authorization as it is now."""
    answer = await mesh.authorization.GetAuthorization(
        rpc.GetAuthorizationRequest(authorization_id=authorization_id), metadata=metadata
    )
    return answer.authorization


def network_purchase(
    card_id: str, amount_minor: int, transaction_id: str, request_id: str = ""
) -> rpc.AuthorizeRequest:
    """A purchase that the network gave an id of its own."""
    request = purchase(card_id, amount_minor, request_id)
    request.network_data.network = "visa"
    request.network_data.transaction_id = transaction_id
    return request


def by_network(request: Any, card_id: str, transaction_id: str, *, network: str = "visa") -> Any:
    """A capture or reversal that names its authorization as the network knows it."""
    request.ClearField("authorization_id")
    request.network_reference.card_id = card_id
    request.network_reference.network = network
    request.network_reference.transaction_id = transaction_id
    return request


def usd(amount_minor: int) -> Money:
    """US dollars."""
    return Money(currency_code="USD", amount_minor=amount_minor)


async def expire_records(money: Redis, *kinds: str) -> int:
    """Deletes keys of these kinds (`req`, `clr`, `hold`), as time would."""
    names = [key for kind in kinds async for key in money.scan_iter(match=f"*:{kind}:*")]
    return int(await money.delete(*names)) if names else 0
