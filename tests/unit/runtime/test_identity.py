from __future__ import annotations

import pytest

from runtime.errors import Unauthenticated
from runtime.identity import NO_CLAIMS, Claims, Identity, identity_of

SPIFFE = ("x-auth-spiffe", "spiffe://holdfast.local/network/demo")
SUBJECT = ("x-auth-subject", "usr_1")


def test_network() -> None:
    assert identity_of([SPIFFE, ("other", b"x")]) == Identity(principal=SPIFFE[1])


@pytest.mark.parametrize("roles", ["admin auditor", "admin,auditor", " admin ,, auditor "])
def test_roles(roles: str) -> None:
    found = identity_of([SUBJECT, ("x-auth-roles", roles)])
    assert found == Identity(principal="usr_1", roles=frozenset({"admin", "auditor"}))


def test_claims() -> None:
    company = "co_2a" + "0" * 32
    found = identity_of(
        [
            SUBJECT,
            ("x-auth-company", company),
            ("x-auth-session", "s-1"),
            ("x-auth-mfa-time", "1700000000"),
        ]
    )
    assert found.claims == Claims(company_id=company, session_id="s-1", mfa_time_s=1_700_000_000)
    assert identity_of([SUBJECT]).claims is NO_CLAIMS


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ("a:read b:write", {"a:read", "b:write"}),
        ("a:read,b:write", {"a:read", "b:write"}),
        ("", ()),
    ],
)
def test_scopes_of_a_key(scopes: str, expected: set[str]) -> None:
    """A key without scopes is a key that may do nothing, not a token."""
    found = identity_of([SUBJECT, ("x-auth-scopes", scopes)])
    assert found.claims.scopes == frozenset(expected)


@pytest.mark.parametrize("text", ["", "-1", "1e9", "soon", "²"])
def test_a_time_that_is_none_is_never(text: str) -> None:
    assert identity_of([SUBJECT, ("x-auth-mfa-time", text)]).claims.mfa_time_s == 0


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("x-auth-roles", "admin")],
        [SPIFFE, SUBJECT],
        [SUBJECT, SUBJECT],
        [("x-auth-subject", "")],
        [("x-auth-subject", "x" * 257)],
        [("x-auth-subject", b"usr_1")],
        [SUBJECT, ("x-auth-spiffe", "")],
    ],
)
def test_none_or_two_are_refused(metadata: list[tuple[str, str | bytes]]) -> None:
    with pytest.raises(Unauthenticated):
        identity_of(metadata)


@pytest.mark.parametrize(
    ("roles", "sees"),
    [({"admin"}, True), ({"auditor"}, True), ({"merchant"}, False), (set(), False)],
)
def test_sees_everything(roles: set[str], *, sees: bool) -> None:
    assert Identity(principal="p", roles=frozenset(roles)).sees_everything is sees
