"""People by the hundred: checked and sealed one by one, written at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

from accounts import convert_user
from accounts.person_keys import PersonKeys
from accounts.user import User, UserTransition, create_user, move_user
from accounts.user_store import PersonRow, UserStore, person_row
from holdfast.accounts.v1 import user_import_pb2
from runtime.audit.entry import TARGETS_MAX
from runtime.validate import Violations

#: People of one request.
IMPORT_MAX = 500
#: So many are sealed before others have their turn: some ten milliseconds.
_AT_ONCE = 16

_REFERENCE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_REFERENCE_DESCRIPTION = "is required: 1 to 64 characters of A-Z a-z 0-9 . _ : -"
_RESULT = user_import_pb2.ImportedUserResult


@dataclass(slots=True, kw_only=True)
class Import:
    """People of one request: what is written, and what is answered of each."""

    rows: dict[str, PersonRow]
    results: list[user_import_pb2.ImportedUserResult]

    def response(self, created: frozenset[str]) -> user_import_pb2.ImportUsersResponse:
        """The answer, once it is known who is new: of two with one reference the first is."""
        new = set(created)
        for result in self.results:
            if result.user_id in new:
                new.remove(result.user_id)
                result.outcome = _RESULT.OUTCOME_CREATED
            elif result.user_id:
                result.outcome = _RESULT.OUTCOME_EXISTED
        return user_import_pb2.ImportUsersResponse(results=self.results)


async def prepared(
    request: user_import_pb2.ImportUsersRequest, keys: PersonKeys, *, now_ms: int, today: date
) -> Import:
    """Checks every person and seals those who are right; others have their turn meanwhile."""
    found = Import(rows={}, results=[])
    for number, one in enumerate(request.users):
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        check = Violations()
        check.pattern("reference", one.reference or " ", _REFERENCE, _REFERENCE_DESCRIPTION)
        personal = convert_user.personal_of(one, today, check)
        if one.verified:
            _check_identity(one, check)
        if check.found:
            found.results.append(_refused(check))
            continue
        user_id = keys.id_of(one.reference)
        found.results.append(_RESULT(user_id=user_id))
        if user_id not in found.rows and not request.validate_only:
            user = create_user(personal, user_id=user_id, now_ms=now_ms)
            found.rows[user_id] = person_row(_checked(user) if one.verified else user, keys)
    return found


async def known(store: UserStore, found: Import) -> user_import_pb2.ImportUsersResponse:
    """What would become of everybody."""
    user_ids = frozenset(result.user_id for result in found.results if result.user_id)
    return found.response(user_ids - await store.existing(user_ids))


def audited(created: frozenset[str]) -> Iterator[tuple[str, ...]]:
    """Who is named in each entry of the audit log: all of them, in as many as that takes; one that
    names nobody if nobody is new.
    """
    user_ids = sorted(created)
    for start in range(0, max(len(user_ids), 1), TARGETS_MAX):
        yield tuple(user_ids[start : start + TARGETS_MAX])


def _check_identity(one: user_import_pb2.ImportedUser, check: Violations) -> None:
    """Refuses what nobody can have checked: who is verified has an identity."""
    for field in ("birth_date", "tax_id"):
        if not getattr(one, field):
            check.add(field, "is required of who is verified")


def _checked(user: User) -> User:
    """The same person, known to be who they say they are, still at the first version."""
    moved = move_user(user, UserTransition.VERIFY, now_ms=user.create_time_ms)
    assert isinstance(moved, User), "nothing is in the way of somebody new"
    return replace(moved, version=user.version)


def _refused(check: Violations) -> user_import_pb2.ImportedUserResult:
    return _RESULT(
        outcome=_RESULT.OUTCOME_REFUSED,
        violations=[
            user_import_pb2.FieldViolation(field=one.field, description=one.description)
            for one in check.found
        ],
    )
