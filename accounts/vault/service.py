"""VaultService: who may see a number, and which token stands for one."""

from __future__ import annotations

from typing import TypeAlias

import grpc

from accounts.vault import convert
from accounts.vault.access import CardReader, may_reveal
from accounts.vault.guessing import Guesses
from accounts.vault.vault import Vault
from holdfast.accounts.v1 import vault_service_pb2 as pb
from holdfast.accounts.v1.vault_service_pb2_grpc import VaultServiceServicer
from runtime.clock import Clock
from runtime.errors import NotFound, ResourceExhausted
from runtime.identity import current_identity

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"

#: What holds a number is for nobody's cache.
_NOT_STORED = (("cache-control", "no-store"),)


class VaultService(VaultServiceServicer):
    """Shows numbers and resolves them. `mfa_age_s`: how old a holder's second factor may be."""

    def __init__(
        self, vault: Vault, cards: CardReader, guesses: Guesses, clock: Clock, *, mfa_age_s: int
    ) -> None:
        self._vault = vault
        self._cards = cards
        self._guesses = guesses
        self._clock = clock
        self._mfa_age_s = mfa_age_s

    async def RevealCard(
        self, request: pb.RevealCardRequest, context: Context
    ) -> pb.RevealCardResponse:
        """Shows a card's number and CVV."""
        identity = current_identity()
        reveal = convert.reveal(request, identity, context)
        card = may_reveal(
            await self._cards.held_card(reveal.card_id),
            reveal.card_id,
            identity,
            now_ms=self._clock.now_ms(),
            mfa_age_s=self._mfa_age_s,
        )
        shown = await self._vault.reveal(
            reveal, expiry_month=card.expiry_month, expiry_year=card.expiry_year
        )
        await context.send_initial_metadata(_NOT_STORED)
        return pb.RevealCardResponse(
            pan=shown.pan,
            cvv=shown.cvv,
            expiry_month=shown.expiry_month,
            expiry_year=shown.expiry_year,
        )

    async def ResolvePan(
        self, request: pb.ResolvePanRequest, context: Context
    ) -> pb.ResolvePanResponse:
        """Returns the token of a number."""
        del context
        principal = current_identity().principal
        if self._guesses.exceeded(principal, now_ms=self._clock.now_ms()):
            raise ResourceExhausted("too many unknown card numbers; wait", reason="PAN_GUESSING")
        token = await self._vault.resolve(convert.pan(request))
        if token is None:
            self._guesses.add(principal, now_ms=self._clock.now_ms())
            raise NotFound("no card has this number", reason="PAN_UNKNOWN")
        return pb.ResolvePanResponse(pan_token=token)
