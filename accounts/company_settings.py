"""What follows from what a company has chosen for itself. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.account import PROGRAMME_DEFAULT
from accounts.card import CardKind
from accounts.company import Company, Member, Role
from holdfast.accounts.v1.card_pb2 import Card
from holdfast.accounts.v1.company_pb2 import CompanySettings
from holdfast.type.v1.spend_controls_pb2 import CalendarWindow, SpendControls

#: The limit that employees have on an account unless somebody says otherwise.
EMPLOYEE_LIMIT_ID = "employee-month"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindNotAllowed:
    """Refusal: the company's accounts get cards of other kinds only."""

    kind: CardKind
    allowed: tuple[CardKind, ...]


def card_kinds(company: Company | None) -> tuple[CardKind, ...]:
    """The kinds of cards that accounts get, in the company's order; accounts of persons, and of
    companies that are not known, get all.
    """
    chosen = CompanySettings.FromString(company.settings).card_kinds if company else ()
    names = (Card.Kind.Name(kind).removeprefix("KIND_") for kind in chosen)
    return tuple(dict.fromkeys(CardKind(name) for name in names)) or tuple(CardKind)


def require_kind(company: Company | None, kind: CardKind) -> KindNotAllowed | None:
    """Refuses a kind of card that the company does not want."""
    allowed = card_kinds(company)
    return None if kind in allowed else KindNotAllowed(kind=kind, allowed=allowed)


def first_card_kind(company: Company | None, kind: CardKind) -> CardKind:
    """The kind of an approved account's first card: the programme's, or what the company wants."""
    allowed = card_kinds(company)
    return kind if kind in allowed else allowed[0]


def managers_issue(company: Company | None) -> bool:
    """Whether managers may issue cards."""
    return company is None or CompanySettings.FromString(company.settings).managers_issue_cards


def programme_of(company: Company | None) -> str:
    """The programme of an account that is opened without naming one."""
    chosen = CompanySettings.FromString(company.settings) if company else CompanySettings()
    return chosen.default_programme_id or PROGRAMME_DEFAULT


def member_controls(
    company: Company | None, member: Member | None, *, currency_code: str
) -> SpendControls | None:
    """What a member may use an account for unless somebody says otherwise; None: no restriction."""
    if company is None or member is None or not member.active or member.role is not Role.EMPLOYEE:
        return None
    limit = CompanySettings.FromString(company.settings).employee_monthly_limit
    if not limit.amount_minor or limit.currency_code != currency_code:
        return None
    controls = SpendControls()
    window = CalendarWindow(unit=CalendarWindow.UNIT_MONTH, timezone=company.time_zone)
    controls.limits.add(control_id=EMPLOYEE_LIMIT_ID, amount=limit, calendar=window)
    return controls
