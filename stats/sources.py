"""What stats asks of others: the ledger's entries as movements, and what accounts knows."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import grpc

from holdfast.accounts.v1 import holder_service_pb2 as accounts
from holdfast.accounts.v1.event_feed_service_pb2_grpc import EventFeedServiceStub
from holdfast.accounts.v1.holder_service_pb2_grpc import HolderServiceStub
from holdfast.authz.v1 import authorization_pb2, decline_reason_pb2, ledger_pb2
from runtime.account_owners import owners_of
from runtime.batches import batches
from runtime.validate import milliseconds
from stats.movement import COUNTED, Movement, Place
from stats.period import day_of

CALL_TIMEOUT_S = 5.0
#: Accounts or members of one call.
PAGE = 1_000
TIME_ZONE_DEFAULT = "UTC"

_TYPES = {
    number: name.removeprefix("TYPE_")
    for name, number in ledger_pb2.Entry.Type.items()
    if name.removeprefix("TYPE_") in COUNTED
}
_REASONS = {
    number: name.removeprefix("DECLINE_REASON_")
    for name, number in decline_reason_pb2.DeclineReason.items()
}
_CHANNELS = {
    number: name.removeprefix("ENTRY_MODE_") if number else ""
    for name, number in authorization_pb2.EntryMode.items()
}
#: Of these the currency that the merchant asked for is known, if only to be the account's.
_ASKED = frozenset({"AUTHORIZATION", "DECLINE", "ADVICE", "FINANCIAL", "FORCE_POST"})

_DECLINES = frozenset({"DECLINE", "INCREMENT_DECLINE"})
#: What may hand out cash.
_POSTINGS = frozenset({"CAPTURE", "FINANCIAL", "FORCE_POST"})
_RECEIVABLE, _CASH = "receivable.", "receivable.cash"

#: In this century days begin at a full quarter of an hour everywhere, whatever the timezone.
_QUARTER_MS = 15 * 60_000

#: Company and user.
Member = tuple[str, str]


class AccountsClient:
    """What accounts knows."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = HolderServiceStub(channel)
        self._feed: Any = EventFeedServiceStub(channel)

    async def zones_of(self, account_ids: Collection[str]) -> dict[str, str]:
        """The timezones of those accounts that are known."""
        found: dict[str, str] = {}
        for some in batches(sorted(account_ids), PAGE):
            request = accounts.ResolveTimeZonesRequest(account_ids=some)
            answer = await self._stub.ResolveTimeZones(request, timeout=CALL_TIMEOUT_S)
            found |= {one.account_id: one.time_zone for one in answer.zones}
        return found

    async def departments_of(self, members: Collection[Member]) -> dict[Member, str]:
        """The departments of those members who have one."""
        found: dict[Member, str] = {}
        for some in batches(sorted(members), PAGE):
            request = accounts.ResolveDepartmentsRequest(
                members=[
                    accounts.CompanyUser(company_id=company, user_id=user) for company, user in some
                ]
            )
            answer = await self._stub.ResolveDepartments(request, timeout=CALL_TIMEOUT_S)
            found |= {
                (one.company_id, one.user_id): one.department_id for one in answer.departments
            }
        return found

    async def owners_of(self, account_ids: Collection[str]) -> dict[str, str]:
        """The owners of those accounts that are known."""
        return await owners_of(self._feed, account_ids)

    async def subject(self, subject_id: str, user_id: str) -> accounts.FindSubjectResponse:
        """Whose something is; raises grpc's error, NOT_FOUND if there is no such thing."""
        request = accounts.FindSubjectRequest(subject_id=subject_id, user_id=user_id)
        answer: accounts.FindSubjectResponse = await self._stub.FindSubject(
            request, timeout=CALL_TIMEOUT_S
        )
        return answer


def counts(entry: ledger_pb2.Entry) -> bool:
    """True if statistics are about it: not configuration, and not a card that nobody knows."""
    return bool(entry.account_id) and entry.type in _TYPES


def movement_of(
    entry: ledger_pb2.Entry, *, zone: str, department_of: Callable[[ledger_pb2.Entry], str]
) -> Movement:
    """An entry that counts."""
    kind = _TYPES[entry.type]
    # Each look at a message within a message costs more than the rest of its line.
    merchant, amount, company_id = entry.merchant, entry.amount, entry.company_id
    currency = entry.posted.currency_code or amount.currency_code
    asked = currency if kind in _ASKED else ""
    if entry.HasField("merchant_amount"):
        asked = entry.merchant_amount.currency_code or asked
    # In the order of its fields: to name them takes twice as long.
    place = Place(
        entry.account_id,
        entry.card_id,
        entry.user_id,
        company_id,
        department_of(entry) if company_id else "",
        entry.programme_id,
        currency,
        merchant.id or merchant.descriptor,
        merchant.category_code,
        merchant.country_code,
        _CHANNELS.get(entry.entry_mode, ""),
        asked,
        _REASONS[entry.decline_reason] if kind in _DECLINES else "",
    )
    return Movement(
        entry_id=entry.id,
        partition=entry.partition,
        pseq=entry.pseq,
        type=kind,
        amount_minor=amount.amount_minor,
        approved_minor=entry.approved.amount_minor,
        reversed_minor=entry.reversed.amount_minor if entry.HasField("reversed") else 0,
        authorization_id=entry.authorization_id,
        payment_id=entry.payment_id,
        day=_day_of(milliseconds(entry.effective_time) // _QUARTER_MS, zone),
        record_time_ms=milliseconds(entry.record_time),
        place=place,
        merchant_name=merchant.descriptor,
        cash=_cash(entry) if kind in _POSTINGS else None,
    )


def _cash(entry: ledger_pb2.Entry) -> bool | None:
    """What the ledger says; of what a credit balance paid for altogether it says nothing."""
    names = {line.ledger_account for line in entry.lines}
    owed = any(name.startswith(_RECEIVABLE) for name in names)
    return _CASH in names if owed else None


@lru_cache(maxsize=8_192)
def _day_of(quarter: int, zone: str) -> date:
    return day_of(quarter * _QUARTER_MS, zone_info(zone))


@lru_cache(maxsize=1_024)
def zone_info(name: str) -> ZoneInfo:
    """A timezone; one that this machine does not know counts as UTC."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo(TIME_ZONE_DEFAULT)
