"""The accounts service, as payments needs it: whose an account is, and what its statement asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import grpc

from holdfast.accounts.v1 import account_pb2, holder_service_pb2
from holdfast.accounts.v1.holder_service_pb2_grpc import HolderServiceStub
from runtime.errors import Unavailable
from runtime.ownership import Belongs

CALL_TIMEOUT_S = 5.0
#: Accounts that are remembered as being there: none ever goes away.
KNOWN_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Whose an account is, and how its days are counted."""

    account_id: str
    belongs: Belongs
    closed: bool
    currency_code: str
    time_zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is left to pay of the last statement."""

    number: int
    statement_minor: int
    minimum_minor: int
    #: None: nothing is due.
    due_date: date | None
    #: Charged off and not recovered.
    charged_off_minor: int = 0


class Holders:
    """Calls accounts through this service's egress socket."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        stub: Any = HolderServiceStub(channel)
        self._get_holder, self._get_bill = stub.GetHolder, stub.GetBill
        self._known: set[str] = set()

    async def knows(self, account_id: str) -> bool:
        """Whether there is such an account, which is all that a read asks; accounts stay."""
        return account_id in self._known or await self.holder(account_id) is not None

    async def holder(self, account_id: str, user_id: str = "") -> Holder | None:
        """Whose an account is; None: there is no such account."""
        request = holder_service_pb2.GetHolderRequest(account_id=account_id, user_id=user_id)
        found = await _answer(self._get_holder(request, timeout=CALL_TIMEOUT_S))
        if found is None:
            return None
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known.add(account_id)
        return Holder(
            account_id=account_id,
            belongs=Belongs(
                owner_id=found.owner_id, is_user=found.shared, dismissed=found.dismissed
            ),
            closed=found.state == account_pb2.Account.STATE_CLOSED,
            currency_code=found.currency_code,
            time_zone=found.time_zone,
        )

    async def asked(self, account_id: str) -> Asked | None:
        """What the last statement asks for; None: there is no statement."""
        request = holder_service_pb2.GetBillRequest(account_id=account_id)
        found = await _answer(self._get_bill(request, timeout=CALL_TIMEOUT_S))
        if found is None or not found.summary.last_statement_number:
            return None
        summary = found.summary
        return Asked(
            number=summary.last_statement_number,
            statement_minor=summary.statement_balance_due.amount_minor,
            minimum_minor=summary.minimum_payment_due.amount_minor,
            due_date=date.fromisoformat(summary.due_date) if summary.due_date else None,
            charged_off_minor=summary.charged_off.amount_minor,
        )


async def _answer(call: Any) -> Any:
    """The answer, or None for NOT_FOUND."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise Unavailable(
            "accounts gave no answer; nothing was done: repeat the same request",
            reason="ACCOUNTS_UNAVAILABLE",
            metadata={"code": error.code().name},
        ) from error
