"""The keys that access tokens are signed with: the key ring `token-keys`."""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm

from gateway.tokens import TokenKey, new_private_key, parse_key, signing_key
from runtime.clock import Clock
from runtime.key_ring import Key, KeyRing
from runtime.log import get_logger
from runtime.secrets import secrets_of
from runtime.settings import Settings
from runtime.tokens import TOKEN_CLOCK_SKEW_S, TOKEN_LIFETIME_S_MAX

#: Name of the ring.
TOKEN_KEYS = "token-keys"  # noqa: S105 - a name, not a secret
#: A key that signs no more is published for as long as a token may live, and pruned then.
UNUSED_MS = (TOKEN_LIFETIME_S_MAX + TOKEN_CLOCK_SKEW_S) * 1000

logger = get_logger()


class TokenKeys:
    """All keys of one installation. Another process may add and remove some at any time."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        #: A key signs only after every checker has had two chances to fetch it.
        self.publish_ms = 2 * settings.jwks_cache_s * 1000
        self._ring = KeyRing(
            secrets_of(settings),
            TOKEN_KEYS,
            clock,
            make=new_private_key,
            settle_ms=self.publish_ms,
        )

    def ensure(self) -> None:
        """Makes the first key, once, however many processes ask."""
        self._ring.ensure()

    def read(self) -> tuple[TokenKey, ...]:
        """All keys, oldest first; the ones that are no keys are left out."""
        return tuple(key for one in self._ring.keys if (key := _parsed(one)) is not None)

    def signing(self) -> TokenKey:
        """The key that signs now."""
        return signing_key(self.read(), now_ms=self._clock.now_ms(), publish_ms=self.publish_ms)

    def rotate(self) -> str:
        """Adds a key, which is published at once and signs after `publish_ms`; returns its id."""
        kid = self._ring.rotate().id
        logger.info("token_key_created", kid=kid)
        return kid

    def prune(self) -> tuple[str, ...]:
        """Removes the keys of which no token can be alive; returns their ids."""
        pruned = self._ring.prune(unused_ms=UNUSED_MS)
        if pruned:
            logger.info("token_keys_pruned", kids=pruned)
        return pruned


@lru_cache(maxsize=64)
def _parsed(key: Key) -> TokenKey | None:
    try:
        return parse_key(key.id, key.secret)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # One broken key must not take the other keys' tokens down.
        logger.warning("token_key_unreadable", kid=key.id, error=str(error))
        return None
