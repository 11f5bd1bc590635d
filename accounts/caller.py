"""Who calls, as far as companies and applications are concerned: the bank's staff, a member of a
company, or a user acting for itself.
"""

from __future__ import annotations

from accounts.company import Action, Member, may
from accounts.company_store import Companies
from runtime import ids
from runtime.errors import NotFound, PermissionDenied
from runtime.identity import current_identity


def is_staff() -> bool:
    """True for the bank's administrators."""
    return "admin" in current_identity().roles


def is_manager() -> bool:
    """True for managers of companies who are nothing more."""
    return "manager" in current_identity().roles and not is_staff()


def sees_all() -> bool:
    """True for those who may read what belongs to anybody: staff, auditors, our own services."""
    identity = current_identity()
    return identity.sees_everything or identity.principal.startswith("spiffe://")


def calling_user() -> str:
    """The user who calls; empty if the caller is none."""
    principal = current_identity().principal
    return principal if ids.is_id(principal, ids.USER) else ""


def require_user() -> str:
    """The user who calls; refuses others."""
    user_id = calling_user()
    if not user_id:
        raise PermissionDenied("only a user may do this, for itself", reason="NOT_A_USER")
    return user_id


async def require_seeing(companies: Companies, company_id: str, action: Action) -> None:
    """Refuses those who may not read it; `action` is what a member must be allowed."""
    if not sees_all():
        await _require_member(companies, company_id, action)


async def require(companies: Companies, company_id: str, action: Action) -> None:
    """Refuses those who may not change it. To who is no member, the company does not exist."""
    if not is_staff():
        await _require_member(companies, company_id, action)


def company_not_found(company_id: str) -> NotFound:
    """The error for an unknown company, or another's."""
    metadata = {"company_id": company_id}
    return NotFound("no such company", reason="COMPANY_NOT_FOUND", metadata=metadata)


async def _require_member(companies: Companies, company_id: str, action: Action) -> None:
    user_id = calling_user()
    member = await companies.member(company_id, user_id) if user_id else None
    if member is None or not member.active:
        raise company_not_found(company_id)
    refuse_low_role(member, action)


def refuse_low_role(member: Member, action: Action) -> None:
    """Refuses a member whose role does not allow it."""
    if not may(member.role, action):
        raise PermissionDenied(
            f"a company's {member.role} may not do this",
            reason="ROLE_TOO_LOW",
            metadata={"role": member.role, "action": action},
        )
