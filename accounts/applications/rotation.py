"""Brings applications under the current key: the hashes by which their persons are found. What is
sealed follows the person's key, which `accounts.user_store` wraps again.
"""

from __future__ import annotations

from accounts.applications.checks import Checks
from accounts.applications.sealing import ApplicationKeys
from accounts.applications.store import Applications

#: Applications that one step reads.
PAGE = 200


class Rotation:
    """Hashes anew what an older key made."""

    def __init__(self, applications: Applications, checks: Checks, keys: ApplicationKeys) -> None:
        self._applications = applications
        self._checks = checks
        self._keys = keys

    async def rotate(self) -> int:
        """One pass, page after page; returns how many were hashed anew. Reading goes on."""
        moved, place = 0, ""
        while True:
            current = self._keys.people.search.current.id
            page = await self._applications.stale(current, after_id=place, limit=PAGE)
            for application in page:
                if application.readable:
                    tax_id = self._checks.applicant(application).tax_id
                    person = self._keys.person_hash(tax_id)
                    await self._applications.rehash(application.id, person)
                    moved += 1
            if len(page) < PAGE:
                return moved
            place = page[-1].id
