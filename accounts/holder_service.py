"""HolderService: tells other services whose an account is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accounts import convert, convert_company, convert_programme, convert_user
from accounts.billing.service import summary_at
from accounts.billing.store import Statements
from accounts.caller import company_not_found
from accounts.ownership_store import OwnershipStore
from accounts.programme_store import Programmes
from accounts.store import Store
from holdfast.accounts.v1 import account_pb2, terms_pb2
from holdfast.accounts.v1 import holder_service_pb2 as pb
from holdfast.accounts.v1.holder_service_pb2_grpc import HolderServiceServicer
from runtime import ids
from runtime.clock import Clock
from runtime.errors import NotFound
from runtime.validate import Violations

#: Accounts or members of one call.
RESOLVE_MAX = 1_000
#: Of accounts whose programme has no terms.
TIME_ZONE_DEFAULT = "UTC"
#: What statistics are about, by prefix of the id: what is said if there is no such thing.
_SUBJECTS: dict[str, Callable[[str], NotFound]] = {
    ids.ACCOUNT: convert.account_not_found,
    ids.CARD: convert.card_not_found,
    ids.COMPANY: company_not_found,
    ids.DEPARTMENT: convert_company.department_not_found,
    ids.USER: convert_user.user_not_found,
    ids.PROGRAMME: convert_programme.programme_not_found,
}
_PRINCIPAL_LENGTH_MAX = 256


class HolderService(HolderServiceServicer):
    """Reads what accounts knows."""

    def __init__(
        self,
        store: Store,
        owners: OwnershipStore,
        programmes: Programmes,
        kept: Statements,
        clock: Clock,
    ) -> None:
        self._store = store
        self._owners = owners
        self._programmes = programmes
        self._kept = kept
        self._clock = clock

    async def GetHolder(self, request: pb.GetHolderRequest, context: Any) -> pb.GetHolderResponse:
        """Returns to whom an account belongs."""
        del context
        violations = Violations()
        violations.id("account_id", request.account_id, ids.ACCOUNT)
        violations.id("user_id", request.user_id, ids.USER, required=False)
        violations.raise_if_any()
        account = await self._store.account(request.account_id)
        belongs = await self._owners.account_belongs(request.account_id, request.user_id)
        if account is None or belongs is None:
            raise convert.account_not_found(request.account_id)
        terms = await self._programmes.last_terms(account.programme_id)
        return pb.GetHolderResponse(
            owner_id=belongs.owner_id,
            shared=belongs.is_user,
            dismissed=belongs.dismissed,
            state=account_pb2.Account.State.Value(f"STATE_{account.state}"),
            currency_code=account.currency_code,
            time_zone=_zone_of(terms.terms if terms else None),
        )

    async def GetBill(self, request: pb.GetBillRequest, context: Any) -> pb.GetBillResponse:
        """Returns what is due."""
        del context
        violations = Violations()
        violations.id("account_id", request.account_id, ids.ACCOUNT)
        violations.raise_if_any()
        if await self._store.account(request.account_id) is None:
            raise convert.account_not_found(request.account_id)
        summary = await summary_at(self._kept, request.account_id, now_ms=self._clock.now_ms())
        return pb.GetBillResponse(summary=summary)

    async def FindSubject(
        self, request: pb.FindSubjectRequest, context: Any
    ) -> pb.FindSubjectResponse:
        """Returns whose something is that statistics are about."""
        del context
        violations = Violations()
        if not ids.is_programme_id(request.subject_id):
            violations.id("subject_id", request.subject_id, *_SUBJECTS)
        violations.text("user_id", request.user_id, limit=_PRINCIPAL_LENGTH_MAX)
        violations.raise_if_any()
        subject_id = request.subject_id
        belongs = await self._owners.subject_belongs(subject_id, request.user_id)
        if belongs is None:
            raise _SUBJECTS[subject_id.partition("_")[0]](subject_id)
        return pb.FindSubjectResponse(
            owner_id=belongs.owner_id,
            shared=belongs.is_user,
            dismissed=belongs.dismissed,
            currency_code=await self._owners.currency_of(subject_id),
        )

    async def ResolveTimeZones(
        self, request: pb.ResolveTimeZonesRequest, context: Any
    ) -> pb.ResolveTimeZonesResponse:
        """Returns in which timezones accounts count their days."""
        del context
        violations = Violations()
        if not 0 < len(request.account_ids) <= RESOLVE_MAX:
            violations.add("account_ids", f"must be 1 to {RESOLVE_MAX}")
        for number, one in enumerate(request.account_ids):
            violations.id(f"account_ids[{number}]", one, ids.ACCOUNT)
        violations.raise_if_any()
        found = await self._owners.terms_of(request.account_ids)
        return pb.ResolveTimeZonesResponse(
            zones=[
                pb.AccountTimeZone(account_id=account_id, time_zone=_zone_of(terms))
                for account_id, terms in found.items()
            ]
        )

    async def ResolveDepartments(
        self, request: pb.ResolveDepartmentsRequest, context: Any
    ) -> pb.ResolveDepartmentsResponse:
        """Returns in which departments members are."""
        del context
        violations = Violations()
        if not 0 < len(request.members) <= RESOLVE_MAX:
            violations.add("members", f"must be 1 to {RESOLVE_MAX}")
        for number, one in enumerate(request.members):
            violations.id(f"members[{number}].company_id", one.company_id, ids.COMPANY)
            violations.id(f"members[{number}].user_id", one.user_id, ids.USER)
        violations.raise_if_any()
        found = await self._owners.departments_of(
            [(one.company_id, one.user_id) for one in request.members]
        )
        return pb.ResolveDepartmentsResponse(
            departments=[
                pb.MemberDepartment(company_id=company, user_id=user, department_id=department)
                for company, user, department in found
            ]
        )


def _zone_of(terms: bytes | None) -> str:
    zone = terms_pb2.Terms.FromString(terms).cycle.time_zone if terms else ""
    return zone or TIME_ZONE_DEFAULT
