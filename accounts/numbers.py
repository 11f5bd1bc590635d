"""Numbers for cards, from the vault: nothing else in accounts ever sees one."""

from __future__ import annotations

from collections.abc import Sequence

from accounts.card import Card, with_number
from accounts.vault.vault import Vault, Wanted


class CardNumbers:
    """Asks the vault. Both calls can be repeated: a card that has a number keeps it. `bin_digits`
    begin the numbers of programmes that have no BIN of their own.
    """

    def __init__(self, vault: Vault, *, bin_digits: str) -> None:
        self._vault = vault
        self._bin_digits = bin_digits

    async def issue(self, card: Card, *, programme_bin: str) -> Card:
        """The new card with a number; '': the programme has no BIN of its own."""
        number = await self._vault.issue(
            card.id,
            bin_digits=programme_bin or self._bin_digits,
            expiry_month=card.expiry_month,
            expiry_year=card.expiry_year,
        )
        return with_number(card, bin_digits=number.bin, last4=number.last4)

    async def issue_all(
        self, cards: Sequence[Card], *, programme_bins: Sequence[str]
    ) -> list[Card]:
        """The same for many cards, each with its programme's BIN."""
        wanted = [
            Wanted(
                card_id=card.id,
                bin=programme_bin or self._bin_digits,
                expiry_month=card.expiry_month,
                expiry_year=card.expiry_year,
            )
            for card, programme_bin in zip(cards, programme_bins, strict=True)
        ]
        found = await self._vault.issue_all(wanted)
        return [
            with_number(card, bin_digits=found[card.id].bin, last4=found[card.id].last4)
            for card in cards
        ]

    async def renew(self, card: Card) -> None:
        """Lets the card keep its number until its expiry, which is a new one. Cards from before
        there were numbers have none to keep.
        """
        if card.bin:
            await self._vault.renew(
                card.id, expiry_month=card.expiry_month, expiry_year=card.expiry_year
            )
