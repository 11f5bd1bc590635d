"""Asks accounts before anything is locked: who counts a page asks for it first, and is answered
from memory then.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol, TypeVar

from stats.sources import Member

#: Answers that wait to be used.
REMEMBERED_MAX = 20_000

_Key = TypeVar("_Key")


class Accounts(Protocol):
    """What accounts knows."""

    async def zones_of(self, account_ids: Collection[str]) -> dict[str, str]:
        """The timezones of those accounts that are known."""
        ...

    async def departments_of(self, members: Collection[Member]) -> dict[Member, str]:
        """The departments of those members who have one."""
        ...


class Asked:
    """What accounts knows; answers that were asked for ahead are given once."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        #: '': accounts does not know.
        self._zones: dict[str, str] = {}
        self._departments: dict[Member, str] = {}

    async def ask(self, account_ids: Collection[str], members: Collection[Member]) -> None:
        """Asks ahead, about those that the next page needs."""
        # What somebody else has counted meanwhile was asked for in vain.
        several: tuple[dict[Any, str], ...] = (self._zones, self._departments)
        for answers in several:
            if len(answers) > REMEMBERED_MAX:
                answers.clear()
        zones = await self._accounts.zones_of(account_ids) if account_ids else {}
        departments = await self._accounts.departments_of(members) if members else {}
        self._zones |= {one: zones.get(one, "") for one in account_ids}
        self._departments |= {one: departments.get(one, "") for one in members}

    def forget(self, account_ids: Collection[str], members: Collection[Member]) -> None:
        """What was asked ahead about them may be old."""
        _taken(self._zones, account_ids)
        _taken(self._departments, members)

    async def zones_of(self, account_ids: Collection[str]) -> dict[str, str]:
        """The timezones of those accounts that are known."""
        found = _taken(self._zones, account_ids)
        missing = [one for one in account_ids if one not in found]
        found |= await self._accounts.zones_of(missing) if missing else {}
        return {one: zone for one, zone in found.items() if zone}

    async def departments_of(self, members: Collection[Member]) -> dict[Member, str]:
        """The departments of those members who have one."""
        found = _taken(self._departments, members)
        missing = [one for one in members if one not in found]
        found |= await self._accounts.departments_of(missing) if missing else {}
        return {one: department for one, department in found.items() if department}


def _taken(answers: dict[_Key, str], wanted: Collection[_Key]) -> dict[_Key, str]:
    return {one: answers.pop(one) for one in wanted if one in answers}
