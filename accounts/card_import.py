"""Cards by the hundred: checked one by one, written at once. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from accounts.account import Account, AccountState, OpenAccount, open_account
from accounts.card import Card, CardKind, IssueCard, issue_card
from accounts.card_import_store import Known
from accounts.company import Company, CompanyState
from accounts.company_settings import programme_of, require_kind
from accounts.convert import NICKNAME_LENGTH
from accounts.convert_controls import of_kind
from holdfast.accounts.v1 import card_bulk_service_pb2 as pb
from holdfast.accounts.v1 import card_pb2, user_import_pb2
from runtime import ids
from runtime.validate import Violations

#: Cards of one request.
IMPORT_MAX = 500

_REFERENCE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_REFERENCE_DESCRIPTION = "must be 1 to 64 characters of A-Z a-z 0-9 . _ : -"
_RESULT = pb.ImportedCardResult
_KIND = card_pb2.Card.Kind
_KINDS: dict[int, object] = dict(_KIND.DESCRIPTOR.values_by_number)


@dataclass(slots=True, kw_only=True)
class Planned:
    """One row: what it names, and what is wrong with it."""

    check: Violations = field(default_factory=Violations)
    card_id: str = ""
    account_id: str = ""
    #: Of the account to be opened; empty: it has to be there.
    owner_id: str = ""
    #: Empty: the one that its owner's accounts have without naming one.
    programme_id: str = ""


def planned(one: pb.ImportedCard, user_id_of: Callable[[str], str]) -> Planned:
    """Checks a row by itself, and gives what it asks for its ids."""
    plan = Planned()
    check = plan.check
    check.pattern("reference", one.reference or " ", _REFERENCE, _REFERENCE_DESCRIPTION)
    check.enum("kind", one.kind, _KINDS)
    check.text("nickname", one.nickname, limit=NICKNAME_LENGTH)
    if one.account_id:
        check.id("account_id", one.account_id, ids.ACCOUNT)
        for name in ("owner_id", "owner_reference", "account_reference", "programme_id"):
            if getattr(one, name):
                check.add(name, "must be empty: the account is named")
        plan.account_id = one.account_id
    else:
        _plan_account(one, plan, user_id_of)
    if not check.found:
        tag = ids.tag_of(plan.account_id)
        plan.card_id = ids.derived(ids.CARD, tag, plan.account_id, "import", one.reference)
    return plan


def _plan_account(one: pb.ImportedCard, plan: Planned, user_id_of: Callable[[str], str]) -> None:
    check = plan.check
    if bool(one.owner_id) is bool(one.owner_reference):
        check.add("owner_id", "is required: account_id, owner_id or owner_reference, one of them")
    check.id("owner_id", one.owner_id, ids.USER, ids.COMPANY, required=False)
    for name in ("owner_reference", "account_reference"):
        check.pattern(name, getattr(one, name), _REFERENCE, _REFERENCE_DESCRIPTION)
    if one.programme_id and not ids.is_programme_id(one.programme_id):
        check.add("programme_id", "must be prog_ and 1 to 32 characters of a-z 0-9 _")
    check.money("credit_limit", one)
    if check.found:
        return
    plan.owner_id = one.owner_id or user_id_of(one.owner_reference)
    plan.programme_id = one.programme_id
    reference = one.account_reference or one.reference
    tag = f"{ids.partition_of(plan.owner_id):02x}"
    plan.account_id = ids.derived(ids.ACCOUNT, tag, plan.owner_id, "import", reference)


@dataclass(slots=True, kw_only=True)
class Made:
    """What is new, each card with its programme's BIN, and what is answered of each row."""

    accounts: dict[str, Account] = field(default_factory=dict)
    cards: dict[str, Card] = field(default_factory=dict)
    bins: dict[str, str] = field(default_factory=dict)
    results: list[pb.ImportedCardResult] = field(default_factory=list)


def made(
    rows: Sequence[pb.ImportedCard], plans: Sequence[Planned], known: Known, *, now_ms: int
) -> Made:
    """What becomes of every row, by what is there."""
    found = Made()
    for one, plan in zip(rows, plans, strict=True):
        if not plan.check.found and plan.card_id not in known.cards:
            _check_known(one, plan, known, found)
        if plan.check.found:
            found.results.append(_refused(plan.check))
            continue
        there = plan.card_id in known.cards or plan.card_id in found.cards
        outcome = _RESULT.OUTCOME_EXISTED if there else _RESULT.OUTCOME_CREATED
        if not there:
            _make(one, plan, known, found, now_ms=now_ms)
        found.results.append(
            _RESULT(outcome=outcome, card_id=plan.card_id, account_id=plan.account_id)
        )
    return found


def _check_known(one: pb.ImportedCard, plan: Planned, known: Known, found: Made) -> None:
    check = plan.check
    account = known.accounts.get(plan.account_id)
    if (account[2] if account else plan.owner_id) in known.suspended:
        check.add(_owner_field(one), "is suspended, and gets no card")
    company = _company_of(plan, known)
    if account is not None and company is not None and company.state is not CompanyState.ACTIVE:
        check.add("account_id", f"is of a company that is {company.state}, and gets no card")
    if refusal := require_kind(company, _kind_of(one)):
        check.add("kind", f"must be one that the company allows: {', '.join(refusal.allowed)}")
    if account is not None:
        if account[0] is not AccountState.OPEN:
            check.add("account_id", f"is {account[0]}: only open accounts get cards")
        return
    if not plan.owner_id:
        check.add("account_id", "is no account")
        return
    if plan.account_id in found.accounts:
        return
    if plan.owner_id not in known.owners:
        check.add(_owner_field(one), "is no user who is known, nor an active company")
    programme = known.programmes.get(_programme_of(plan, known))
    if programme is None:
        if one.programme_id:
            check.add("programme_id", "is no programme")
    elif not programme.active:
        check.add("programme_id", "takes no new accounts")
    elif programme.currency_code != one.credit_limit.currency_code:
        check.add("credit_limit.currency_code", f"must be {programme.currency_code}")


def _make(one: pb.ImportedCard, plan: Planned, known: Known, found: Made, *, now_ms: int) -> None:
    account = known.accounts.get(plan.account_id)
    programme_id = account[1] if account else _programme_of(plan, known)
    if account is None and plan.account_id not in found.accounts:
        command = OpenAccount(
            owner_id=plan.owner_id,
            programme_id=programme_id,
            parent_account_id=None,
            currency_code=one.credit_limit.currency_code,
            credit_limit_minor=one.credit_limit.amount_minor,
        )
        found.accounts[plan.account_id] = open_account(
            command, account_id=plan.account_id, now_ms=now_ms
        )
    kind = _kind_of(one)
    card = IssueCard(
        account_id=plan.account_id,
        kind=kind,
        nickname=one.nickname,
        controls=of_kind(kind, b""),
    )
    found.cards[plan.card_id] = issue_card(card, card_id=plan.card_id, now_ms=now_ms)
    programme = known.programmes.get(programme_id)
    found.bins[plan.card_id] = programme.bin if programme else ""


def _owner_field(one: pb.ImportedCard) -> str:
    """Where a row says whose the account is."""
    if one.account_id:
        return "account_id"
    return "owner_id" if one.owner_id else "owner_reference"


def _kind_of(one: pb.ImportedCard) -> CardKind:
    name = _KIND.Name(one.kind or card_pb2.Card.KIND_VIRTUAL)
    return CardKind(name.removeprefix("KIND_"))


def _company_of(plan: Planned, known: Known) -> Company | None:
    account = known.accounts.get(plan.account_id)
    return known.companies.get(account[2] if account else plan.owner_id)


def _programme_of(plan: Planned, known: Known) -> str:
    return plan.programme_id or programme_of(_company_of(plan, known))


def _refused(check: Violations) -> pb.ImportedCardResult:
    return _RESULT(
        outcome=_RESULT.OUTCOME_REFUSED,
        violations=[
            user_import_pb2.FieldViolation(field=one.field, description=one.description)
            for one in check.found
        ],
    )
