"""A card against the ledger: every cent, every side."""

from __future__ import annotations

from decimal import Decimal

import pytest

from runtime.replay.sending import ReplayAbortedError, minor_of
from runtime.replay.tally import CardResult, CardTally, LedgerSums

_AGREEING = {
    "file_minor": 850,
    "approved_minor": 700,
    "declined_minor": 300,
    "refunded_minor": -50,
    "skipped_minor": -100,
}
_LEDGER = {
    "captured_minor": 700,
    "refunded_minor": -50,
    "owed_minor": 650,
    "posted_minor": 650,
    "held_minor": 0,
}


def _result(ledger: dict[str, int], **changes: int) -> CardResult:
    tally = CardTally(last4="0042", currency="GBP")
    for name, value in (_AGREEING | changes).items():
        setattr(tally, name, value)
    return CardResult(tally=tally, ledger=LedgerSums(**(_LEDGER | ledger)))


def test_a_card_that_agrees() -> None:
    """Goal: approved + declined + refunded + skipped = file, what posted = ledger."""
    assert _result({}).disagreements == []


@pytest.mark.parametrize("name", _AGREEING)
def test_one_cent_in_the_file(name: str) -> None:
    """Goal: a cent that is nowhere is seen."""
    assert _result({}, **{name: _AGREEING[name] + 1}).disagreements


@pytest.mark.parametrize("name", _LEDGER)
def test_one_cent_in_the_ledger(name: str) -> None:
    """Goal: so is a cent in any of the ledger's sums, and a hold that stayed."""
    assert _result({name: _LEDGER[name] + 1}).disagreements


@pytest.mark.parametrize(
    ("limit", "currency", "minor"),
    [("10000000.00", "GBP", 1_000_000_000), ("100", "JPY", 100), ("0.001", "KWD", 1)],
)
def test_credit_limits_in_minor_units(limit: str, currency: str, minor: int) -> None:
    """Goal: the currency decides how many decimals there are."""
    assert minor_of(Decimal(limit), currency) == minor


@pytest.mark.parametrize(("limit", "currency"), [("0.5", "JPY"), ("0.001", "GBP"), ("1e15", "GBP")])
def test_credit_limits_that_a_currency_does_not_have(limit: str, currency: str) -> None:
    """Goal: never rounded, never beyond 2^53."""
    with pytest.raises(ReplayAbortedError, match="not possible"):
        minor_of(Decimal(limit), currency)
