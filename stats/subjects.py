"""What statistics are about, and to whom it belongs: accounts knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import grpc

from holdfast.accounts.v1 import holder_service_pb2 as accounts
from runtime import ids
from runtime.errors import HoldfastError, NotFound, Unavailable
from runtime.ownership import Belongs, Lookup, Lookups
from stats import convert
from stats.store import StatsStore

#: Subjects that are remembered: none ever goes away, or changes its currency.
KNOWN_MAX = 10_000

_KINDS = {
    ids.ACCOUNT: "account",
    ids.CARD: "card",
    ids.COMPANY: "company",
    ids.DEPARTMENT: "department",
    ids.USER: "user",
    ids.PROGRAMME: "programme",
}


class Finder(Protocol):
    """Asks accounts."""

    async def subject(self, subject_id: str, user_id: str) -> accounts.FindSubjectResponse:
        """Whose something is; raises grpc's error, NOT_FOUND if there is no such thing."""
        ...


class Subjects:
    """What there is."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._currencies: dict[str, str] = {}

    async def currency_of(self, subject_id: str) -> str:
        """The currency of an account or card, '' of what may have several; raises NOT_FOUND."""
        found = self._currencies.get(subject_id)
        if found is None:
            answer = await self.find(subject_id, "")
            if answer is None:
                raise not_found(subject_id)
            found = answer.currency_code
            if len(self._currencies) >= KNOWN_MAX:
                self._currencies.clear()
            self._currencies[subject_id] = found
        return found

    async def find(self, subject_id: str, user_id: str) -> accounts.FindSubjectResponse | None:
        """Whose something is; None: there is no such thing."""
        try:
            return await self._finder.subject(subject_id, user_id)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise Unavailable(
                "nobody can say now whose this is; try again", reason="CHECK_UNAVAILABLE"
            ) from error

    async def belongs(self, subject_id: str, user_id: str) -> Belongs | None:
        """To whom a subject belongs."""
        found = await self.find(subject_id, user_id)
        if found is None:
            return None
        return Belongs(owner_id=found.owner_id, dismissed=found.dismissed)


def lookups(subjects: Subjects, store: StatsStore) -> Lookups:
    """For the interceptor, which asks about managers and cardholders only."""

    async def stat(stat_id: str, user_id: str) -> Belongs | None:
        kept = await store.stat(stat_id)
        if kept is None or ids.is_programme_id(kept.subject_id):
            return None
        return await subjects.belongs(kept.subject_id, user_id)

    return {
        **{kind: _lookup(subjects.belongs) for kind in _KINDS if kind != ids.PROGRAMME},
        ids.STAT: Lookup(find=stat, not_found=convert.stat_not_found),
    }


def not_found(subject_id: str) -> HoldfastError:
    """The error for a subject that is not there, or another's."""
    kind = _KINDS[subject_id.partition("_")[0]]
    return NotFound(
        f"no such {kind}",
        reason=f"{kind.upper()}_NOT_FOUND",
        metadata={f"{kind}_id": subject_id},
    )


def _lookup(find: Callable[[str, str], Awaitable[Belongs | None]]) -> Lookup:
    return Lookup(find=find, not_found=not_found)
