"""What a change of a dispute means to those who are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from accounts.disputes import dispute as rules
from accounts.disputes.dispute import Dispute, Liability, Posting, State
from accounts.disputes.happenings import of_change, submitted
from runtime.events.catalogue import Event, fault_of
from tests.unit.accounts.test_dispute import DISPUTE, NOW

OPENED = replace(
    DISPUTE,
    id="disp_0a" + "1" * 32,
    account_id="acct_0a" + "1" * 32,
    authorization_id="auth_0a" + "1" * 32,
    entry_id="ent_0a" + "1" * 32,
    user_id="usr_0a" + "1" * 32,
)
INVESTIGATING = replace(OPENED, state=State.INVESTIGATING)
CREDITED = replace(INVESTIGATING, credited_minor=1_000)


def told(before: Dispute, changed: Any) -> list[tuple[str, int, int | None]]:
    """Types, amounts and what was won; every event fits the catalogue."""
    after, postings = changed if isinstance(changed, tuple) else (changed, ())
    assert isinstance(after, Dispute), after
    found = of_change(before, after, postings)
    return [_told(one) for one in found]


def _told(event: Event) -> tuple[str, int, int | None]:
    assert fault_of(event) == ""
    assert (event.account_id, event.user_id) == (OPENED.account_id, OPENED.user_id)
    won = event.data["won"]["amount_minor"] if "won" in event.data else None
    return event.type.removeprefix("dispute."), event.data["amount"]["amount_minor"], won


def test_a_new_one() -> None:
    assert _told(submitted(OPENED)) == ("submitted", 1_000, None)


@pytest.mark.parametrize(
    ("before", "changed", "events"),
    [
        (OPENED, rules.acknowledged(OPENED, now_ms=NOW), [("acknowledged", 1_000, None)]),
        (INVESTIGATING, INVESTIGATING, []),
        (
            INVESTIGATING,
            rules.granted(INVESTIGATING, amount_minor=400, now_ms=NOW),
            [("credit_granted", 400, None)],
        ),
        (
            CREDITED,
            rules.taken_back(CREDITED, amount_minor=0, now_ms=NOW),
            [("credit_reversed", 1_000, None)],
        ),
        (
            CREDITED,
            rules.resolved(CREDITED, Liability(merchant_minor=1_000), now_ms=NOW),
            [("won", 1_000, 1_000)],
        ),
        (
            INVESTIGATING,
            rules.resolved(INVESTIGATING, Liability(issuer_minor=1_000), now_ms=NOW),
            [("credit_granted", 1_000, None), ("won", 1_000, 1_000)],
        ),
        (
            CREDITED,
            rules.resolved(
                CREDITED, Liability(merchant_minor=300, cardholder_minor=700), now_ms=NOW
            ),
            [("credit_reversed", 700, None), ("partially_won", 1_000, 300)],
        ),
        (
            CREDITED,
            rules.resolved(CREDITED, Liability(cardholder_minor=1_000), now_ms=NOW),
            [("credit_reversed", 1_000, None), ("lost", 1_000, 0)],
        ),
        (
            CREDITED,
            rules.withdrawn(CREDITED, now_ms=NOW),
            [("credit_reversed", 1_000, None), ("withdrawn", 1_000, 0)],
        ),
    ],
)
def test_every_change(
    before: Dispute,
    changed: tuple[Dispute, tuple[Posting, ...]],
    events: list[tuple[str, int, int | None]],
) -> None:
    assert told(before, changed) == events


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_name(state: State) -> None:
    before = INVESTIGATING if state is State.SUBMITTED else OPENED
    found = of_change(before, replace(before, state=state), ())
    assert len(found) == (state is not before.state)
