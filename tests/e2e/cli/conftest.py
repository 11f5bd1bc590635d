"""The `holdfast` command in a process of its own, and a client of the shared mesh."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from holdfast.accounts.v1 import account_service_pb2, card_pb2, card_service_pb2
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.type.v1.money_pb2 import Money
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient, connect

_CHECKOUT = Path(__file__).resolve().parents[3]
_PROGRAM = "from runtime.cli.main import main; main()"
_NUMBERS = itertools.count(1)

Holdfast = Callable[..., Awaitable["Ended"]]


class Ended(NamedTuple):
    """What a command left."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def holdfast() -> Holdfast:
    """Runs a command to its end, without any setting of ours."""

    async def run(*arguments: str) -> Ended:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _PROGRAM, *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=_CHECKOUT,
            env={name: value for name, value in os.environ.items() if "HOLDFAST" not in name},
        )
        stdout, stderr = await process.communicate()
        assert process.returncode is not None
        ended = Ended(process.returncode, stdout.decode(), stderr.decode())
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended

    return run


@pytest.fixture(scope="session")
async def mesh(full_mesh: Devstack) -> AsyncIterator[MeshClient]:
    """A client of the shared mesh."""
    async with connect(full_mesh.settings, full_mesh.ports) as client:
        yield client


class Cardholder(NamedTuple):
    """An account with a card."""

    account_id: str
    card_id: str


@pytest.fixture
async def cardholder(mesh: MeshClient) -> Cardholder:
    """A new account of 1,000.00 with an active card."""
    opened = await mesh.accounts.OpenAccount(
        account_service_pb2.OpenAccountRequest(
            request_id=_request_id(),
            owner_id=f"usr_0a{uuid.uuid4().hex}",
            credit_limit=Money(currency_code="USD", amount_minor=100_000),
        )
    )
    issued = await mesh.cards.IssueCard(
        card_service_pb2.IssueCardRequest(
            request_id=_request_id(),
            account_id=opened.account.id,
            kind=card_pb2.Card.KIND_VIRTUAL,
        )
    )
    return Cardholder(opened.account.id, issued.card.id)


async def purchase(mesh: MeshClient, card_id: str, amount_minor: int) -> rpc.AuthorizeResponse:
    """An approved purchase."""
    answer = await mesh.network.Authorize(
        rpc.AuthorizeRequest(
            request_id=_request_id(),
            card_id=card_id,
            amount=Money(currency_code="USD", amount_minor=amount_minor),
            merchant=pb.Merchant(descriptor="corner shop"),
        )
    )
    assert answer.decision == pb.DECISION_APPROVED
    return answer


async def capture(mesh: MeshClient, authorization_id: str, amount_minor: int) -> None:
    """A clearing, in part or in full."""
    await mesh.network.CaptureAuthorization(
        rpc.CaptureAuthorizationRequest(
            request_id=_request_id(),
            authorization_id=authorization_id,
            amount=Money(currency_code="USD", amount_minor=amount_minor),
        )
    )


def _request_id() -> str:
    return f"cli-test-{os.getpid()}-{next(_NUMBERS)}"
