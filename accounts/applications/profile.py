"""Whoever applies, and what was known of them before: one person has one identity."""

from __future__ import annotations

from typing import Any

from accounts.applications.identity import contradicts
from accounts.applications.store import Applications, Applying
from accounts.machine import IllegalTransition
from accounts.person_keys import PersonKeys, opened
from accounts.personal import tax_id_of
from accounts.user import USERS, Personal, UserState, UserTransition
from holdfast.accounts.v1.application_pb2 import Applicant
from runtime.validate import Violations

_COUNTRY = "US"


class Profiles:
    """Compares people with what they say when they apply, in the transaction of `applications`."""

    def __init__(self, applications: Applications, keys: PersonKeys) -> None:
        self._applications = applications
        self._keys = keys

    async def contradicts(self, user_id: str, applicant: Applicant) -> bool:
        """Whether what is said is of somebody else than the user is known to be."""
        row = await self._applications.locked_person(user_id)
        if row is None or not row["key_wrapped"]:
            return False
        return contradicts(self._known(row), said(applicant))

    async def verify(self, user_id: str, applicant: Applicant, *, now_ms: int) -> Applying | None:
        """The person whose identity was verified: from now on the state says so, unless the person
        is suspended or closed, and the profile has whose it is.
        """
        row = await self._applications.locked_person(user_id)
        if row is None:
            return None
        before = UserState(row["state"])
        state = USERS.move(before, UserTransition.VERIFY)
        key_wrapped = row["key_wrapped"] or b""
        if isinstance(state, IllegalTransition) or state is before or not key_wrapped:
            return Applying(state=before, key_wrapped=key_wrapped)
        key = self._keys.data_key(key_wrapped, user_id)
        personal = said(applicant)
        await self._applications.verify_person(
            user_id,
            state,
            key.seal("birth_date", personal.birth_date.encode()),
            key.seal("tax_id", f"{personal.tax_country_code}|{personal.tax_id}".encode()),
            self._keys.hash_of("tax_id", personal.tax_id),
            now_ms=now_ms,
        )
        return Applying(state=state, key_wrapped=key_wrapped)

    def _known(self, row: Any) -> Personal:
        return opened(row, self._keys.data_key(row["key_wrapped"], row["id"]))


def said(applicant: Applicant) -> Personal:
    """Whom an applicant claims to be."""
    check = Violations()
    tax_id = tax_id_of("tax_id", applicant.tax_id, _COUNTRY, check)
    check.raise_if_any()
    return Personal(
        name=applicant.legal_name,
        birth_date=applicant.birth_date,
        tax_id=tax_id,
        tax_country_code=_COUNTRY,
    )
