"""The decision: each reason, and of every two that apply the earlier one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from authz.answers import RESPONSE_CODES
from authz.decision import (
    PRECEDENCE,
    AccountSnapshot,
    AccountState,
    CardSnapshot,
    CardState,
    Declined,
    Plan,
    Purchase,
    Reason,
    Snapshot,
    decide,
)
from authz.expiry import DAY_MS, Circumstances
from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.authz.v1.decline_reason_pb2 import DeclineReason

NOW_MS = 1_800_000_000_000
PROTO = Path(__file__).resolve().parents[3] / "protos/holdfast/authz/v1/decline_reason.proto"

PURCHASE = Purchase(
    amount_minor=100,
    currency_code="USD",
    partial_approval=False,
    circumstances=Circumstances(
        category_code="5411",
        preauthorization=False,
        card_present=False,
        merchant_initiated=False,
        ecommerce=False,
    ),
)
SNAPSHOT = Snapshot(
    card=CardSnapshot(
        version=1,
        card_id="card",
        root_card_id="card",
        account_id="acct",
        state=CardState.ACTIVE,
        expire_at_ms=NOW_MS + 1,
        single_use=False,
    ),
    account=AccountSnapshot(
        version=1,
        account_id="acct",
        owner_id="usr",
        programme_id="prog",
        state=AccountState.OPEN,
        currency_code="USD",
    ),
)

Change = Callable[[Snapshot], Snapshot]


def _card(**changes: object) -> Change:
    return lambda snapshot: replace(snapshot, card=replace(snapshot.card, **changes))  # type: ignore[arg-type]


def _account(**changes: object) -> Change:
    return lambda snapshot: replace(snapshot, account=replace(snapshot.account, **changes))  # type: ignore[arg-type]


#: One row per reason that `decide` finds on a card, in precedence order. A card has one state:
#: of its three reasons at most one applies.
FAULTS: tuple[tuple[Reason, Change], ...] = (
    (Reason.CARD_CLOSED, _card(state=CardState.CLOSED)),
    (Reason.CARD_NOT_ACTIVATED, _card(state=CardState.INACTIVE)),
    (Reason.CARD_FROZEN, _card(state=CardState.FROZEN)),
    (Reason.CARD_EXPIRED, _card(expire_at_ms=NOW_MS)),
    (Reason.ACCOUNT_CLOSED, _account(state=AccountState.CLOSING)),
    (Reason.INVALID_AMOUNT_OR_CURRENCY, _account(currency_code="EUR")),
)
CARD_STATES = {Reason.CARD_CLOSED, Reason.CARD_NOT_ACTIVATED, Reason.CARD_FROZEN}


def test_approval() -> None:
    assert decide(PURCHASE, SNAPSHOT, now_ms=NOW_MS) == Plan(
        amount_minor=100,
        expire_at_ms=NOW_MS + 7 * DAY_MS,
        single_use=False,
        partial_approval=False,
    )


def test_plan_carries_single_use_and_partial_approval() -> None:
    plan = decide(
        replace(PURCHASE, partial_approval=True, amount_minor=0),
        _card(single_use=True)(SNAPSHOT),
        now_ms=NOW_MS,
    )
    assert isinstance(plan, Plan)
    assert (plan.single_use, plan.partial_approval, plan.amount_minor) == (True, True, 0)


def test_unknown_card() -> None:
    assert decide(PURCHASE, None, now_ms=NOW_MS) == Declined(reason=Reason.CARD_NOT_FOUND)


@pytest.mark.parametrize(("reason", "fault"), FAULTS)
def test_each_reason(reason: Reason, fault: Change) -> None:
    assert decide(PURCHASE, fault(SNAPSHOT), now_ms=NOW_MS) == Declined(reason=reason)


def test_closed_account_declines_like_a_closing_one() -> None:
    closed = _account(state=AccountState.CLOSED)(SNAPSHOT)
    assert decide(PURCHASE, closed, now_ms=NOW_MS) == Declined(reason=Reason.ACCOUNT_CLOSED)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (first, second)
        for first, second in itertools.combinations(FAULTS, 2)
        if not {first[0], second[0]} <= CARD_STATES
    ],
)
def test_of_two_reasons_the_earlier_wins(
    first: tuple[Reason, Change], second: tuple[Reason, Change]
) -> None:
    both = second[1](first[1](SNAPSHOT))
    assert decide(PURCHASE, both, now_ms=NOW_MS) == Declined(reason=first[0])
    assert PRECEDENCE.index(first[0]) < PRECEDENCE.index(second[0])


def test_precedence_is_the_contract_s() -> None:
    comment = " ".join(
        line.strip().removeprefix("//").strip() for line in PROTO.read_text().splitlines()
    )
    listed = re.search(r"first one in this order wins: ([A-Z_, ]+)\.", comment)
    assert listed is not None
    assert [reason.name for reason in PRECEDENCE] == listed[1].split(", ")


def test_precedence_names_every_reason_once() -> None:
    assert sorted(PRECEDENCE) == sorted(set(Reason) - {Reason.NONE})


def test_reasons_are_the_contract_s() -> None:
    contract = {
        name.removeprefix("DECLINE_REASON_"): number for name, number in DeclineReason.items()
    }
    assert int(contract.pop("UNSPECIFIED")) == Reason.NONE
    assert contract == {reason.name: int(reason) for reason in Reason if reason}


def test_every_reason_has_a_response_code() -> None:
    assert set(RESPONSE_CODES) == {int(reason) for reason in Reason if reason}
    assert all(re.fullmatch(r"[0-9]{2}", code) for code in RESPONSE_CODES.values())


@pytest.mark.parametrize(
    ("ours", "prefix", "theirs"),
    [
        (CardState, "CARD_STATE_", projection.CardState),
        (AccountState, "ACCOUNT_STATE_", projection.AccountState),
    ],
)
def test_states_are_the_contract_s(ours: type, prefix: str, theirs: type) -> None:
    contract = {name.removeprefix(prefix): number for name, number in theirs.items()}  # type: ignore[attr-defined]
    contract.pop("UNSPECIFIED")
    assert contract == {state.name: int(state) for state in ours}  # type: ignore[attr-defined]
