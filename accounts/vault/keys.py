"""The vault's keys: sealing, finding and verifying have one ring each (`runtime.key_ring`)."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.vault import cvv
from runtime.clock import Clock
from runtime.key_ring import KeyRing, key_ring
from runtime.secrets import SecretsProvider

#: Names of the rings. Numbers move to a new sealing or search key by themselves. The keys of CVVs
#: must stay for as long as a card is valid: what was printed is derived from them. Numbers that
#: were removed are known by hashes that nobody can make anew: their keys stay for ever.
SEALING, SEARCH, CVV, USED = "vault-sealing", "vault-search", "vault-cvv", "vault-used"


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultKeys:
    """All that opens the vault."""

    sealing: KeyRing
    search: KeyRing
    cvv: KeyRing
    used: KeyRing

    def seal(self, pan: str, *, card_id: str) -> bytes:
        """The number, readable for nobody, and only where this card is kept."""
        return self.sealing.seal(pan.encode(), context=_context(card_id))

    def open(self, sealed: bytes, *, card_id: str) -> str:
        """The number again; ValueError if it was sealed for another card, or changed."""
        return self.sealing.open(sealed, context=_context(card_id)).decode()

    def hashes(self, pan: str) -> list[bytes]:
        """By which the number may be found: one hash for each key that is in use."""
        return list(self.search.macs(pan.encode()).values())

    def hashes_ever(self, pan: str) -> list[bytes]:
        """By which it may be found that a card has the number, or had it once."""
        return [*self.hashes(pan), *self.used.macs(pan.encode()).values()]

    def cvv_of(self, pan: str, *, key_id: str, expiry_month: int, expiry_year: int) -> str:
        """The CVV2 of a card; its key must not have been pruned."""
        key = self.cvv.find(key_id)
        if key is None:
            raise ValueError(f"the key {key_id} of a card's CVV is gone")
        return cvv.derive(key.secret, pan=pan, expiry_month=expiry_month, expiry_year=expiry_year)


def vault_keys(secrets: SecretsProvider, clock: Clock) -> VaultKeys:
    """The rings, each made if it is missing."""
    return VaultKeys(
        sealing=key_ring(secrets, SEALING, clock),
        search=key_ring(secrets, SEARCH, clock),
        cvv=key_ring(secrets, CVV, clock),
        used=key_ring(secrets, USED, clock),
    )


def _context(card_id: str) -> bytes:
    return f"vault:pan:{card_id}".encode()
