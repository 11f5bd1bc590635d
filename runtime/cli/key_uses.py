"""Which versions of a key ring are still needed: those that stores name, and for how long the rest.

Rings that are not here are never pruned.
"""

from __future__ import annotations

from dataclasses import dataclass

_HOUR_MS = 3_600_000
#: A replaced version is kept at least so long: whoever was writing with it has finished.
AGE_MS = _HOUR_MS
#: Longer than sessions live.
_SESSION_MS = 91 * 24 * _HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What needs the versions of a ring."""

    #: How long after its last use a version is needed by what no row names, ms.
    age_ms: int = AGE_MS
    #: Whose login reads `sql`: the ids of the versions that rows need.
    service: str = ""
    sql: str = ""
    #: Whose remembered requests need the versions of their time, for as long as they are there.
    requests_of: str = ""


def uses(*, accounts_request_h: int, gateway_request_h: int) -> dict[str, Use]:
    """By ring. Requests are remembered for so long, with fingerprints and sealed answers."""
    accounts_ms = AGE_MS + accounts_request_h * _HOUR_MS
    gateway_ms = AGE_MS + gateway_request_h * _HOUR_MS
    return {
        "gateway-emails": Use(
            service="gateway",
            sql="SELECT email_key FROM credential WHERE email_key IS NOT NULL"
            " UNION SELECT email_key FROM reserved_address",
        ),
        "gateway-api-keys": Use(
            age_ms=gateway_ms,
            requests_of="gateway",
            service="gateway",
            sql="SELECT secret_key FROM api_key"
            " UNION SELECT previous_key FROM api_key WHERE previous_key IS NOT NULL",
        ),
        "gateway-identities": Use(
            service="gateway",
            sql="SELECT subject_key FROM identity"
            # The table before.
            " UNION SELECT subject_key FROM external_identity",
        ),
        "gateway-users": Use(
            age_ms=gateway_ms,
            requests_of="gateway",
            service="gateway",
            # What a ring has sealed says with which version: 29 characters behind the first byte.
            sql="SELECT convert_from(substring(secret FROM 2 FOR 29), 'UTF8') FROM second_factor"
            " UNION SELECT convert_from(substring(payload FROM 2 FOR 29), 'UTF8') FROM outbox",
        ),
        "gateway-requests": Use(age_ms=gateway_ms, requests_of="gateway"),
        "gateway-refresh-tokens": Use(age_ms=_SESSION_MS),
        "gateway-oidc-flows": Use(),
        "notify-webhooks": Use(
            service="notify",
            sql="SELECT convert_from(substring(secret FROM 2 FOR 29), 'UTF8') FROM webhook_endpoint"
            " UNION SELECT convert_from(substring(previous_secret FROM 2 FOR 29), 'UTF8')"
            " FROM webhook_endpoint WHERE previous_secret IS NOT NULL",
        ),
        "notify-notices": Use(
            service="notify",
            sql="SELECT convert_from(substring(secret FROM 2 FOR 29), 'UTF8') FROM notification"
            " WHERE secret IS NOT NULL",
        ),
        "person-wrapping": Use(
            age_ms=accounts_ms,
            requests_of="accounts",
            service="accounts",
            sql="SELECT key_id FROM person WHERE key_id IS NOT NULL",
        ),
        "person-search": Use(
            age_ms=accounts_ms,
            requests_of="accounts",
            service="accounts",
            sql="SELECT hash_key_id FROM person WHERE hash_key_id IS NOT NULL"
            " UNION SELECT hash_key_id FROM application WHERE hash_key_id IS NOT NULL",
        ),
        "vault-sealing": Use(service="vault", sql="SELECT DISTINCT key_id FROM card_number"),
        "vault-search": Use(service="vault", sql="SELECT DISTINCT hash_key_id FROM card_number"),
        # No use prunes vault-used: nobody can say which versions its hashes need.
        "vault-cvv": Use(service="vault", sql="SELECT DISTINCT cvv_key_id FROM card_number"),
    }
