"""The calls of the benchmark as the generator sends them: constant bytes, and tails that vary."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.type.v1.money_pb2 import Money
from loadtest.frames import grpc_message
from loadtest.job import Job, Target

CURRENCY = "USD"
AMOUNT_MINOR = 1_250
AUTHORIZE = "/holdfast.authz.v1.AuthorizationService/Authorize"
JSON_AUTHORIZE = "/v1/authorizations"
_TIMEOUT = "10S"
#: The generator numbers its calls with so many digits.
NUMBER_DIGITS = 10
_RUNS = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """Messages that differ in a unique number and in their end."""

    begin: bytes
    run: str
    tails: bytes
    tail_bytes: int
    count: int


def run_name() -> str:
    """A prefix of request ids that no other run has; always of the same length."""
    return f"bench-{os.urandom(4).hex()}-{next(_RUNS):04d}-"


def grpc_headers(path: str, *, tls: bool) -> list[tuple[str, str]]:
    """Headers of a gRPC call, as grpc's own clients send them."""
    return [
        (":method", "POST"),
        (":scheme", "https" if tls else "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", _TIMEOUT),
    ]


def json_headers(token: str) -> list[tuple[str, str]]:
    """Headers of a JSON call with an access token."""
    return [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", JSON_AUTHORIZE),
        (":authority", "localhost"),
        ("content-type", "application/json"),
        ("authorization", f"Bearer {token}"),
    ]


def purchases(card_ids: Sequence[str]) -> Messages:
    """Purchases with these cards: a coffee each."""
    run = run_name()
    number = run + "0" * NUMBER_DIGITS
    wholes = [grpc_message(purchase(number, card).SerializeToString()) for card in card_ids]
    return _split(wholes, number, run)


def json_purchases(card_ids: Sequence[str]) -> Messages:
    """The same as JSON."""
    run = run_name()
    number = run + "0" * NUMBER_DIGITS
    return _split([_json_purchase(number, card) for card in card_ids], number, run)


def distinct(messages: Sequence[Message]) -> Messages:
    """Messages that differ as a whole and carry no number."""
    wholes = [grpc_message(message.SerializeToString()) for message in messages]
    return Messages(
        begin=b"", run="", tails=b"".join(wholes), tail_bytes=len(wholes[0]), count=len(wholes)
    )


def job(target: Target, headers: list[tuple[str, str]], messages: Messages, **fields: Any) -> Job:
    """The generator's job of sending these messages."""
    return Job(
        target=target,
        headers=headers,
        begin=messages.begin.hex(),
        run=messages.run,
        tail_bytes=messages.tail_bytes,
        tails=messages.count,
        **fields,
    )


def _split(wholes: Sequence[bytes], number: str, run: str) -> Messages:
    begin, _, _ = wholes[0].partition(number.encode())
    cut = len(begin) + len(number)
    tails = [whole[cut:] for whole in wholes]
    return Messages(
        begin=begin, run=run, tails=b"".join(tails), tail_bytes=len(tails[0]), count=len(tails)
    )


def purchase(request_id: str, card_id: str) -> rpc.AuthorizeRequest:
    """One purchase."""
    return rpc.AuthorizeRequest(
        request_id=request_id,
        card_id=card_id,
        amount=Money(currency_code=CURRENCY, amount_minor=AMOUNT_MINOR),
        merchant=pb.Merchant(
            id="4445012345",
            descriptor="Corner Coffee",
            category_code="5814",
            city="Oakland",
            country_code="US",
        ),
        point_of_sale=pb.PointOfSale(entry_mode=pb.ENTRY_MODE_CONTACTLESS, card_present=True),
    )


def _json_purchase(request_id: str, card_id: str) -> bytes:
    document = {
        "request_id": request_id,
        "card_id": card_id,
        "amount": {"currency_code": CURRENCY, "amount_minor": str(AMOUNT_MINOR)},
        "merchant": {
            "id": "4445012345",
            "descriptor": "Corner Coffee",
            "category_code": "5814",
            "city": "Oakland",
            "country_code": "US",
        },
        "point_of_sale": {"entry_mode": "ENTRY_MODE_CONTACTLESS", "card_present": True},
    }
    return json.dumps(document, separators=(",", ":")).encode()
