from __future__ import annotations

import json
from base64 import urlsafe_b64encode

import pytest

from runtime.errors import InvalidArgument
from runtime.paging import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, Page, Position, page_of
from runtime.validate import Violations

SCOPE = "ListThings|owner"
POSITION = Position(1_800_000_000_123, "acct_0a" + "0" * 32)
TOKEN = Page(size=1, after=None, scope=SCOPE).token_after(POSITION)


def _page(page_size: int = 0, page_token: str = "", *, scope: str = SCOPE) -> Page:
    violations = Violations()
    page = page_of(page_size, page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    return page


@pytest.mark.parametrize(
    ("asked", "size"),
    [(0, PAGE_SIZE_DEFAULT), (1, 1), (500, 500), (501, PAGE_SIZE_MAX), (2**31 - 1, PAGE_SIZE_MAX)],
)
def test_page_size(asked: int, size: int) -> None:
    assert _page(asked).size == size


def test_token_round_trip() -> None:
    assert _page(0, TOKEN).after == POSITION
    assert _page().after is None


@pytest.mark.parametrize("key", [0, 1, 253_402_300_799_999])
def test_token_carries_any_time_and_number(key: int) -> None:
    token = Page(size=1, after=None, scope=SCOPE).token_after(Position(key, ""))
    assert _page(0, token).after == Position(key, "")


def _forged(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "!!!!",
        "é",
        "A" * 257,
        TOKEN + "=",
        TOKEN + "A",
        TOKEN[:-1],
        TOKEN.swapcase(),
        _forged([]),
        _forged({"a": 1}),
        _forged(["000000000000", 1, "a"]),
        _forged(["000000000000", True, "a"]),
        _forged(["000000000000", 2**63, "a"]),
        _forged(["000000000000", 1, "a b"]),
        "W1tbW1tbW1tbW1tb" * 16,
    ],
)
def test_garbage_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        _page(0, token)
    assert [violation.field for violation in refused.value.violations] == ["page_token"]


def test_token_of_another_list_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        _page(0, TOKEN, scope="ListThings|other")


def test_negative_size_and_garbage_are_both_named() -> None:
    with pytest.raises(InvalidArgument) as refused:
        _page(-1, "x")
    assert [v.field for v in refused.value.violations] == ["page_size", "page_token"]


def test_cut_says_whether_more_follows() -> None:
    page = _page(2)
    assert page.fetch == 3
    assert page.cut([1, 2, 3]) == ([1, 2], True)
    assert page.cut([1, 2]) == ([1, 2], False)
