from __future__ import annotations

import pytest

from runtime.errors import InvalidArgument
from runtime.request_id import request_id_of
from runtime.validate import Violations

KEY = "idempotency-key"


@pytest.mark.parametrize(
    ("value", "metadata", "expected"),
    [
        ("r-1", None, "r-1"),
        ("r-1", [], "r-1"),
        ("", [(KEY, "k-1")], "k-1"),
        ("", [("x", "y"), (KEY, "k-1"), (KEY, "k-1")], "k-1"),
        ("k-1", [(KEY, "k-1")], "k-1"),
        ("r-1", [(KEY, "")], "r-1"),
    ],
)
def test_request_id_comes_from_field_or_header(
    value: str, metadata: list[tuple[str, str | bytes]] | None, expected: str
) -> None:
    violations = Violations()
    assert request_id_of(value, metadata, violations) == expected
    violations.raise_if_any()


@pytest.mark.parametrize(
    ("value", "metadata"),
    [
        ("", []),
        ("", [(KEY, "")]),
        ("", [(KEY, "a"), (KEY, "b")]),
        ("a", [(KEY, "a"), (KEY, "b")]),
        ("a", [(KEY, "b")]),
        ("", [(KEY, "has space")]),
        ("", [(KEY, b"bytes")]),
        ("x" * 65, []),
        ("", [(KEY, "x" * 65)]),
    ],
)
def test_wrong_request_id_names_the_field_once(
    value: str, metadata: list[tuple[str, str | bytes]]
) -> None:
    violations = Violations()
    request_id_of(value, metadata, violations)
    with pytest.raises(InvalidArgument) as refused:
        violations.raise_if_any()
    assert [violation.field for violation in refused.value.violations] == ["request_id"]
