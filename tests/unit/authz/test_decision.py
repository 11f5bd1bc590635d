"""The decision, one row per outcome, in the order of precedence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from authz.decision import (
    ACCOUNT_STATES,
    CARD_STATES,
    CHECKS,
    PRECEDENCE,
    Declined,
    Plan,
    Purchase,
    Reason,
    decide,
)
from authz.expiry import DAY_MS, Circumstances
from authz.snapshot import AccountSnapshot, AccountState, CardSnapshot, CardState, Snapshot

NOW_MS = 1_900_000_000_000
CARD = CardSnapshot(
    version=1,
    card_id="card_0a1",
    root_card_id="card_0a0",
    account_id="acct_0a1",
    state=CardState.ACTIVE,
    expire_at_ms=NOW_MS + 1,
    single_use=False,
)
ACCOUNT = AccountSnapshot(
    version=1,
    account_id="acct_0a1",
    owner_id="usr_0a1",
    programme_id="prog_standard",
    state=AccountState.OPEN,
    currency_code="USD",
)
PURCHASE = Purchase(
    amount_minor=100,
    currency_code="USD",
    circumstances=Circumstances(),
    partial_approval=False,
)
EVERYTHING_WRONG = replace(PURCHASE, currency_code="EUR", mismatches=frozenset(Reason))


def reason_of(card: CardSnapshot, account: AccountSnapshot, purchase: Purchase) -> Reason:
    verdict = decide(purchase, Snapshot(card=card, account=account), now_ms=NOW_MS)
    return verdict.reason if isinstance(verdict, Declined) else Reason.NONE


def test_what_nothing_speaks_against_is_planned() -> None:
    verdict = decide(PURCHASE, Snapshot(card=CARD, account=ACCOUNT), now_ms=NOW_MS)
    assert isinstance(verdict, Plan)
    assert (verdict.amount_minor, verdict.expire_at_ms) == (100, NOW_MS + 7 * DAY_MS)


@pytest.mark.parametrize("single_use", [True, False])
@pytest.mark.parametrize("partial", [True, False])
def test_the_plan_says_what_card_and_terminal_are(single_use: bool, partial: bool) -> None:
    snapshot = Snapshot(card=replace(CARD, single_use=single_use), account=ACCOUNT)
    verdict = decide(replace(PURCHASE, partial_approval=partial), snapshot, now_ms=NOW_MS)
    assert verdict == Plan(
        amount_minor=100,
        expire_at_ms=NOW_MS + 7 * DAY_MS,
        single_use=single_use,
        partial_approval=partial,
    )


def test_an_unknown_card_is_declined() -> None:
    assert decide(PURCHASE, None, now_ms=NOW_MS) == Declined(reason=Reason.CARD_NOT_FOUND)


@pytest.mark.parametrize("state", [state for state in CardState if state is not CardState.ACTIVE])
def test_every_card_state_but_active_declines_first(state: CardState) -> None:
    card = replace(CARD, state=state, expire_at_ms=NOW_MS)
    account = replace(ACCOUNT, state=AccountState.CLOSED)
    assert reason_of(card, account, EVERYTHING_WRONG) == CARD_STATES[state]


def test_a_card_expires_with_the_first_moment_it_is_not_valid() -> None:
    account = replace(ACCOUNT, state=AccountState.CLOSED)
    card = replace(CARD, expire_at_ms=NOW_MS)
    assert reason_of(card, account, EVERYTHING_WRONG) == Reason.CARD_EXPIRED


@pytest.mark.parametrize("number", range(len(CHECKS)))
def test_failed_checks_decline_before_the_account_is_looked_at(number: int) -> None:
    purchase = replace(EVERYTHING_WRONG, mismatches=frozenset(CHECKS[number:]))
    account = replace(ACCOUNT, state=AccountState.SUSPENDED)
    assert reason_of(CARD, account, purchase) == CHECKS[number]


@pytest.mark.parametrize("state", [one for one in AccountState if one is not AccountState.OPEN])
def test_every_account_state_but_open_declines(state: AccountState) -> None:
    purchase = replace(PURCHASE, currency_code="EUR")
    account = replace(ACCOUNT, state=state)
    assert reason_of(CARD, account, purchase) == ACCOUNT_STATES[state]


def test_another_currency_is_declined() -> None:
    purchase = replace(PURCHASE, currency_code="EUR")
    assert reason_of(CARD, ACCOUNT, purchase) == Reason.INVALID_AMOUNT_OR_CURRENCY


def test_an_address_mismatch_alone_does_not_decline() -> None:
    purchase = replace(PURCHASE, mismatches=frozenset({Reason.AVS_MISMATCH}))
    assert reason_of(CARD, ACCOUNT, purchase) == Reason.NONE


def test_the_tables_follow_the_precedence() -> None:
    """Checks stand in the order in which their reasons win."""
    ranks = [PRECEDENCE.index(reason) for reason in CHECKS]
    assert ranks == sorted(ranks)
