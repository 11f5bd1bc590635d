"""Cards in digital wallets: the seam for what a token service provider of a network will do.

Nothing here provisions a token yet. A provider gives each device a token of its own (a DPAN) for a
card. Networks detokenize before they ask us, so that an authorization names the card as always and
says in its `pos` that a wallet was used: the authorizer needs no part of this.

What has to call it, once there is one: whatever changes a card's state (`card_life`, `card`), after
the authorizer has the change, from the outbox. So a provider that is away stops no freeze, and is
told the newest version later. Tokens follow a card through reissue and renewal, which keep its
number; they end with it.
"""

from __future__ import annotations

from typing import Protocol

from accounts.card import Card


class WalletTokens(Protocol):
    """A token service provider. Both calls may be repeated: versions tell which is newer."""

    async def provision(self, card: Card, *, wallet: str, device_id: str) -> str:
        """Has a token made for a card in use, for one device; returns the provider's id of it.
        `wallet` is the network's name of it, e.g. `APPLE_PAY`.
        """
        ...

    async def follow(self, card: Card) -> None:
        """Makes all tokens of a card what the card is: usable, suspended (frozen), or deleted
        (closed, lost, stolen), with its expiry.
        """
        ...
