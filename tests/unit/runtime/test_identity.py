from __future__ import annotations

import pytest

from runtime.errors import Unauthenticated
from runtime.identity import Identity, identity_of

SPIFFE = ("x-auth-spiffe", "spiffe://holdfast.local/network/demo")
SUBJECT = ("x-auth-subject", "usr_1")


def test_network() -> None:
    assert identity_of([SPIFFE, ("other", b"x")]) == Identity(principal=SPIFFE[1])


@pytest.mark.parametrize("roles", ["admin auditor", "admin,auditor", " admin ,, auditor "])
def test_roles(roles: str) -> None:
    found = identity_of([SUBJECT, ("x-auth-roles", roles)])
    assert found == Identity(principal="usr_1", roles=frozenset({"admin", "auditor"}))


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
