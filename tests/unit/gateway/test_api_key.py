"""API keys: what a secret looks like, and the first reason to refuse a call."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api_key import (
    ApiKey,
    KeyState,
    Refusal,
    SecretHash,
    network_of,
    new_token,
    parse_token,
    refuse,
    revoke,
    rotate,
    works,
)

NOW_MS = 1_800_000_000_000
ID = "key_0a" + "1" * 32
OLD = SecretHash(key_id="v1", digest=b"o" * 32)
NEW = SecretHash(key_id="v2", digest=b"n" * 32)
KEY = ApiKey(
    id=ID,
    owner_id="mer_1",
    display_name="",
    state=KeyState.ACTIVE,
    scopes=("cards:read", "cards:write"),
    allowed_networks=("192.0.2.0/24", "2001:db8::/48"),
    limit_per_minute=0,
    secret=OLD,
    previous=None,
    previous_expire_time_ms=None,
    expire_time_ms=NOW_MS + 1,
    version=1,
    create_time_ms=NOW_MS,
    update_time_ms=NOW_MS,
)


@given(st.binary(min_size=24, max_size=24))
def test_a_secret_names_its_key(random: bytes) -> None:
    token = new_token(ID, random_bytes=lambda _: random)
    assert parse_token(token.text) == token
    assert token.text.startswith("hf_0a1")
    assert token.text not in repr(token)


@given(st.text() | st.from_regex(r"hf_[0-9a-f]{34}_[0-9a-f]{56}", fullmatch=True))
def test_junk_is_no_secret(text: str) -> None:
    """Nothing but what was made: a checksum tells, and nothing raises."""
    assert parse_token(text) is None


def test_any_other_character_is_another_secret() -> None:
    text = new_token(ID, random_bytes=bytes).text
    for place in range(3, len(text)):
        other = "1" if text[place] == "0" else "0"
        assert parse_token(text[:place] + other + text[place + 1 :]) is None
    assert parse_token(text + " ") is None


@pytest.mark.parametrize(
    ("changes", "address", "needs", "refusal"),
    [
        ({}, "192.0.2.7", ("cards:read",), None),
        ({}, "2001:db8::7", ("cards:read", "cards:write"), None),
        ({}, "::ffff:192.0.2.7", (), None),
        ({"allowed_networks": ()}, "", ("cards:read",), None),
        ({"allowed_networks": ("::ffff:192.0.2.0/120",)}, "192.0.2.7", (), None),
        ({"allowed_networks": ("::ffff:c000:207/128",)}, "::ffff:192.0.2.7", (), None),
        ({"allowed_networks": ("::ffff:c000:207/128",)}, "192.0.2.8", (), Refusal.ADDRESS),
        # All of IPv6 is not all of IPv4, nor the other way round.
        ({"allowed_networks": ("::/0",)}, "192.0.2.7", (), Refusal.ADDRESS),
        ({"allowed_networks": ("0.0.0.0/0",)}, "2001:db8::7", (), Refusal.ADDRESS),
        # In order: each also has every fault below it.
        ({"state": KeyState.REVOKED, "expire_time_ms": NOW_MS}, "", None, Refusal.REVOKED),
        ({"expire_time_ms": NOW_MS}, "", None, Refusal.EXPIRED),
        ({}, "192.0.3.7", None, Refusal.ADDRESS),
        ({}, "junk", ("cards:read",), Refusal.ADDRESS),
        ({}, "192.0.2.7", ("cards:read", "ledger:read"), Refusal.SCOPE),
        ({}, "192.0.2.7", None, Refusal.SCOPE),
    ],
)
def test_the_first_reason_counts(
    changes: dict[str, object],
    address: str,
    needs: tuple[str, ...] | None,
    refusal: Refusal | None,
) -> None:
    key = replace(KEY, **changes)  # type: ignore[arg-type]  # a table
    assert refuse(key, address=address, needs=needs, now_ms=NOW_MS) is refusal


def test_both_secrets_work_while_they_overlap() -> None:
    rotated = rotate(KEY, NEW, overlap_ms=1000, now_ms=NOW_MS)
    assert rotated.owner_id == KEY.owner_id
    assert works(rotated, now_ms=NOW_MS + 999) == (NEW, OLD)
    assert works(rotated, now_ms=NOW_MS + 1000) == (NEW,)
    assert works(rotate(KEY, NEW, overlap_ms=0, now_ms=NOW_MS), now_ms=NOW_MS) == (NEW,)
    # A third secret ends the first at once.
    third = SecretHash(key_id="v2", digest=b"t" * 32)
    again = rotate(rotated, third, overlap_ms=1000, now_ms=NOW_MS)
    assert works(again, now_ms=NOW_MS) == (third, NEW)


def test_a_revoked_key_stays_as_it_is() -> None:
    ended = revoke(rotate(KEY, NEW, overlap_ms=1000, now_ms=NOW_MS), now_ms=NOW_MS)
    assert (ended.state, ended.previous) == (KeyState.REVOKED, None)
    assert revoke(ended, now_ms=NOW_MS + 5) is ended


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:DB8::/48", "2001:db8::/48"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:0:0/95", None),
        ("192.0.2.7/24", None),
        ("everywhere", None),
        ("", None),
    ],
)
def test_networks_are_written_one_way(text: str, network: str | None) -> None:
    assert network_of(text) == network
