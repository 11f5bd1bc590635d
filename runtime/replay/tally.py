"""What became of each card's rows, to the cent. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class CardTally:
    """One card of the file. Sums are of `amount_minor`, refunds below zero."""

    last4: str
    currency: str
    account_id: str = ""
    card_id: str = ""
    file_minor: int = 0
    approved_minor: int = 0
    declined_minor: int = 0
    refunded_minor: int = 0
    skipped_minor: int = 0
    approved: int = 0
    declined: int = 0
    refunded: int = 0
    skipped: int = 0


@dataclass(slots=True, kw_only=True)
class Tally:
    """All cards. Four digits name a card, so there are at most 10,000."""

    cards: dict[str, CardTally] = field(default_factory=dict)
    declines: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    #: Refunds that were linked to a purchase.
    linked: int = 0
    bad_rows: int = 0

    @property
    def approved(self) -> int:
        """Purchases that were approved and captured."""
        return sum(card.approved for card in self.cards.values())

    @property
    def declined(self) -> int:
        """Purchases that were declined."""
        return sum(card.declined for card in self.cards.values())

    @property
    def refunded(self) -> int:
        """Refunds that were posted."""
        return sum(card.refunded for card in self.cards.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSums:
    """What the ledger says of one account."""

    #: Sum of its captures.
    captured_minor: int = 0
    #: Sum of its refunds, below zero.
    refunded_minor: int = 0
    #: Sum of its lines in receivables and customer credit.
    owed_minor: int = 0
    #: Its balance, as the authorizer has it.
    posted_minor: int = 0
    held_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CardResult:
    """One card of the file against the ledger."""

    tally: CardTally
    ledger: LedgerSums

    @property
    def disagreements(self) -> list[str]:
        """What is not as it should be; empty if the card agrees to the cent."""
        tally, ledger = self.tally, self.ledger
        posted = tally.approved_minor + tally.refunded_minor
        accounted = posted + tally.declined_minor + tally.skipped_minor
        found = []
        if accounted != tally.file_minor:
            found.append(
                f"approved + declined + refunded + skipped is {accounted}, file {tally.file_minor}"
            )
        expected = {
            "captured_minor": tally.approved_minor,
            "refunded_minor": tally.refunded_minor,
            "owed_minor": posted,
            "posted_minor": posted,
        }
        for name, amount_minor in expected.items():
            value = getattr(ledger, name)
            if value != amount_minor:
                found.append(f"{name} should be {amount_minor}, the ledger has {value}")
        if ledger.held_minor:
            found.append(f"still held {ledger.held_minor}")
        return found


def disagreeing(results: Iterable[CardResult]) -> list[CardResult]:
    """The cards that do not agree."""
    return [result for result in results if result.disagreements]
