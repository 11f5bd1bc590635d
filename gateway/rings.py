"""The key rings of the gateway, one for each purpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from runtime.clock import Clock
from runtime.key_ring import KeyRing, key_ring
from runtime.secrets import SecretsProvider


@dataclass(frozen=True, slots=True, kw_only=True)
class Rings:
    """Losing one loses what it hashed or sealed; none is needed to read anything else."""

    #: Hashes of addresses, by which users are found.
    emails: KeyRing
    #: Signs refresh tokens.
    refresh_tokens: KeyRing
    #: Fingerprints of requests, which may hold passwords.
    requests: KeyRing
    #: Hashes of recovery codes.
    recovery: KeyRing
    #: Seals profiles until accounts has them, and second factors.
    users: KeyRing
    #: Hashes of what other issuers call users.
    identities: KeyRing
    #: Seals sign-ins at other issuers, while they are under way.
    flows: KeyRing

    @classmethod
    def of(cls, secrets: SecretsProvider, clock: Clock) -> Self:
        """Makes what is missing."""
        return cls(
            emails=key_ring(secrets, "gateway-emails", clock),
            refresh_tokens=key_ring(secrets, "gateway-refresh-tokens", clock),
            requests=key_ring(secrets, "gateway-requests", clock),
            recovery=key_ring(secrets, "gateway-recovery-codes", clock),
            users=key_ring(secrets, "gateway-users", clock),
            identities=key_ring(secrets, "gateway-identities", clock),
            flows=key_ring(secrets, "gateway-oidc-flows", clock),
        )
