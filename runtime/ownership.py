"""Whose something is: what managers and cardholders may call a method about.

A service says to whom its ids belong; the interceptor asks it before the servicer runs. What
belongs to somebody else is answered like what is not there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runtime import ids
from runtime.access import OWNING_ROLES, Policy
from runtime.errors import (
    HoldfastError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Violation,
)
from runtime.identity import Identity
from runtime.record import record


@record
class Belongs:
    """To whom something belongs."""

    #: A `usr_` or `co_` id.
    owner_id: str
    #: Whether the user who asks may use it without owning it.
    is_user: bool = False
    #: The company that owns it has removed the user who asks, whatever the token still says.
    dismissed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """How one kind of id is looked up."""

    #: Id and the user who asks → to whom it belongs; None: there is no such thing.
    find: Callable[[str, str], Awaitable[Belongs | None]]
    #: What a servicer of the service says of an id that it does not know.
    not_found: Callable[[str], HoldfastError]


#: By prefix of the id.
Lookups = Mapping[str, Lookup]


def is_owner(identity: Identity, owner_id: str) -> bool:
    """True for the cardholder who is the owner, and for a manager of the company that is."""
    return owner_id in owners(identity)


def owners(identity: Identity) -> tuple[str, ...]:
    """All that the caller may act for: itself, and the company that it manages."""
    found = []
    if "cardholder" in identity.roles:
        found.append(identity.principal)
    if "manager" in identity.roles and identity.claims.company_id:
        found.append(identity.claims.company_id)
    return tuple(found)


async def _itself(owner_id: str, _user_id: str) -> Belongs:
    return Belongs(owner_id=owner_id)


def _no_company(name: str) -> HoldfastError:
    return NotFound("no such company", reason="COMPANY_NOT_FOUND", metadata={"company_id": name})


def _no_user(name: str) -> HoldfastError:
    return NotFound("no such user", reason="USER_NOT_FOUND", metadata={"user_id": name})


#: Owners belong to themselves, whoever keeps them.
_ITSELF = {
    ids.USER: Lookup(find=_itself, not_found=_no_user),
    ids.COMPANY: Lookup(find=_itself, not_found=_no_company),
}


class OwnerRule:
    """The rule of one method, prepared when it is registered."""

    def __init__(self, policy: Policy, lookups: Lookups) -> None:
        self._fields = policy.owner
        self._users = policy.users
        self._owning = policy.roles & OWNING_ROLES
        #: They see what they may see without owning it; the servicer knows whom it shows what.
        self._all = policy.roles & {"admin", "auditor"}
        self._others = policy.roles - OWNING_ROLES
        #: Envoy has told networks and services apart.
        self._certificates = not policy.roles.isdisjoint({"network", "service"})
        self._lookups = lookups

    async def check(self, request: Any, identity: Identity) -> bool:
        """True if what is asked about is the caller's; False if the caller needs no such reason.

        Raises what tells an owner that there is no such thing, and PERMISSION_DENIED for others.
        """
        roles = identity.roles
        if not roles.isdisjoint(self._all):
            return False
        other = not roles.isdisjoint(self._others) or (
            self._certificates and identity.is_certificate
        )
        if roles.isdisjoint(self._owning):
            if other:
                return False
            raise PermissionDenied("your roles do not allow this")
        try:
            await self._check_fields(request, identity)
        except HoldfastError:
            if other:
                return False
            raise
        return True

    async def _check_fields(self, request: Any, identity: Identity) -> None:
        named = [(field, value) for field in self._fields if (value := getattr(request, field))]
        if not named:
            others = "".join(f", or {field}" for field in self._fields[1:])
            raise InvalidArgument.of([Violation(self._fields[0], f"is required{others}")])
        for field, value in named:
            await self._check_id(field, value, identity)

    async def _check_id(self, field: str, value: str, identity: Identity) -> None:
        prefix = value.partition("_")[0]
        if not ids.is_id(value, prefix):
            raise InvalidArgument.of([Violation(field, "must be an id")])
        lookup = self._lookups.get(prefix, _ITSELF.get(prefix))
        if lookup is None:
            raise InvalidArgument.of([Violation(field, "must be an id of another kind")])
        found = await lookup.find(value, identity.principal)
        if found is None or not (
            (is_owner(identity, found.owner_id) and not found.dismissed)
            or (self._users and found.is_user and "cardholder" in identity.roles)
        ):
            raise lookup.not_found(value)
