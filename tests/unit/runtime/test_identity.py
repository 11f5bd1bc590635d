"""Exactly one identity per call, and no credential that can speak for another kind of caller."""

from __future__ import annotations

import pytest

from runtime.errors import Unauthenticated
from runtime.identity import ROLES_HEADER, SPIFFE_HEADER, SUBJECT_HEADER, identity_of

NETWORK = "spiffe://holdfast.local/network/demo"


def test_a_certificate_or_a_token_makes_a_principal() -> None:
    assert identity_of([(SPIFFE_HEADER, NETWORK)]).principal == NETWORK
    token = identity_of([(SUBJECT_HEADER, "usr_1"), (ROLES_HEADER, "admin auditor")])
    assert token.principal == "usr_1"
    assert token.roles == {"admin", "auditor"}
    assert token.sees_everything


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("authorization", "usr_1")],
        [(SUBJECT_HEADER, "")],
        [(SUBJECT_HEADER, "usr_1"), (SUBJECT_HEADER, "usr_2")],
        [(SUBJECT_HEADER, "usr_1"), (SPIFFE_HEADER, NETWORK)],
        [(SUBJECT_HEADER, "usr_1"), (SPIFFE_HEADER, "")],
        [(SUBJECT_HEADER, b"usr_1")],
        [(SUBJECT_HEADER, NETWORK)],
        [(SUBJECT_HEADER, "holdfast:sweeper")],
        [(SPIFFE_HEADER, "usr_1")],
        [(SUBJECT_HEADER, "u" * 257)],
    ],
)
def test_anything_else_is_refused(metadata: list[tuple[str, str | bytes]]) -> None:
    with pytest.raises(Unauthenticated):
        identity_of(metadata)
