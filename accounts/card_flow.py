"""Issuing, replacing and renewing, whoever asks for it: from a locked card to its next version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from accounts import convert, convert_card, convert_company, convert_controls, freezing
from accounts.account import Account, require_open
from accounts.account_user import require_user
from accounts.caller import is_manager
from accounts.card import LIVING, Card, CardKind, IssueCard, issue_card
from accounts.card_life import (
    ACTIVATION_TRIES_MAX,
    Details,
    ReplacementReason,
    WrongDetails,
    activate,
    reissue,
    renew,
    replace_card,
)
from accounts.company import Company
from accounts.company_settings import managers_issue, require_kind
from accounts.company_store import Companies
from accounts.holding import of_holder
from accounts.machine import IllegalTransition
from accounts.numbers import CardNumbers
from accounts.room import require_room
from accounts.transaction import Transaction
from accounts.user_store import check_person
from holdfast.type.v1.spend_controls_pb2 import SpendControls


async def issue(
    transaction: Transaction,
    numbers: CardNumbers,
    command: IssueCard,
    controls: SpendControls,
    *,
    card_id: str,
    now_ms: int,
) -> Card:
    """Issues a card on an open account, for its owner or one who shares it."""
    # Companies are always locked before accounts.
    company = await Companies(transaction.connection).steady_of_account(command.account_id)
    account = await transaction.steady_account(command.account_id)
    if account is None:
        raise convert.account_not_found(command.account_id)
    _check_open(account)
    _check_company(company, command.kind)
    await check_user(transaction, account, command.user_id)
    await check_person(transaction.connection, command.user_id or account.owner_id)
    convert_controls.check_currency(controls, account.currency_code)
    await require_room(transaction, account, now_ms=now_ms)
    counting = convert_controls.counting(controls, before=b"", now_ms=now_ms)
    kept = convert_controls.of_kind(command.kind, counting)
    card = issue_card(replace(command, controls=kept), card_id=card_id, now_ms=now_ms)
    programme_bin = await transaction.bin_of(account.programme_id)
    card = await numbers.issue(card, programme_bin=programme_bin)
    await transaction.insert_card(card)
    return card


async def replaced(
    transaction: Transaction,
    numbers: CardNumbers,
    found: tuple[Card, Account],
    reason: ReplacementReason,
    *,
    card_id: str,
    now_ms: int,
) -> Card:
    """Issues a card in place of a locked one, which ends."""
    card, account = found
    _check_open(account)
    await check_user(transaction, account, card.user_id)
    by = await freezing.frozen_by(transaction, card)
    both = replace_card(card, reason, card_id=card_id, now_ms=now_ms, frozen=by is not None)
    if not isinstance(both, tuple):
        raise convert_card.refusal(both)
    if card.state not in LIVING:
        await require_room(transaction, account, now_ms=now_ms)
    old, new = both
    if card.state not in LIVING:
        # Cards that have ended are not told that their holder is suspended, nor that this is over.
        new = await of_holder(transaction, new, account.owner_id)
    programme_bin = await transaction.bin_of(account.programme_id)
    new = replace(new, controls=convert_controls.of_kind(new.kind, new.controls))
    new = await numbers.issue(new, programme_bin=programme_bin)
    await transaction.insert_card(new)
    await transaction.update_card(old)
    await freezing.hand_on(transaction, by, new)
    return new


async def may_activate(
    transaction: Transaction, card_id: str, details: Details, *, now_ms: int
) -> bool:
    """Counts what is a wrong guess, before it is answered; False after too many. What no details
    could activate is no guess.
    """
    card = await transaction.card(card_id)
    changed = activate(card, details, now_ms=now_ms) if card is not None else None
    wrong = isinstance(changed, WrongDetails)
    if changed is card or not (wrong or isinstance(changed, Card)):
        return True
    return await transaction.count_activation(card_id, wrong=wrong, most=ACTIVATION_TRIES_MAX)


async def activated(
    transaction: Transaction, card: Card, details: Details | None, *, now_ms: int
) -> Card:
    """Activates a locked card; what came in place of a frozen one goes on frozen."""
    by = await freezing.frozen_by(transaction, card)
    changed = activate(card, details, now_ms=now_ms, frozen=by is not None)
    return await changed_to(transaction, card, changed)


async def changed_to(transaction: Transaction, card: Card, changed: Any) -> Card:
    """Writes what was decided about a locked card, or raises why not."""
    if isinstance(changed, IllegalTransition):
        raise convert.refusal(changed)
    if not isinstance(changed, Card):
        raise convert_card.refusal(changed)
    if changed is not card:
        await transaction.update_card(changed)
    return changed


async def made_anew(
    transaction: Transaction,
    numbers: CardNumbers,
    found: tuple[Card, Account],
    *,
    renewal: bool,
    now_ms: int,
) -> Card:
    """Lets a locked card keep its number for longer."""
    card, account = found
    _check_open(account)
    await check_user(transaction, account, card.user_id)
    changed = renew(card, now_ms=now_ms) if renewal else reissue(card, now_ms=now_ms)
    if not isinstance(changed, Card):
        raise convert_card.refusal(changed)
    if changed is card:
        return card
    await numbers.renew(changed)
    await transaction.update_card(changed)
    return changed


async def check_user(transaction: Transaction, account: Account, user_id: str) -> None:
    """Refuses to give a card to someone who neither owns nor shares the account."""
    if user_id:
        user = await transaction.steady_account_user(account.id, user_id)
        if refusal := require_user(user, owner_id=account.owner_id):
            raise convert.refusal(refusal)


def _check_company(company: Company | None, kind: CardKind) -> None:
    """Refuses what the company that owns the account does not want; None: a person's account."""
    convert_company.refuse_inactive(company)
    if company is not None and is_manager() and not managers_issue(company):
        raise convert_company.managers_issue_no_cards(company.id)
    if refusal := require_kind(company, kind):
        raise convert_company.kind_not_allowed(refusal)


def _check_open(account: Account) -> None:
    if refusal := require_open(account):
        raise convert.refusal(refusal)
