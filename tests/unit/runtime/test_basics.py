"""Time, ids, money and queries: the small things that everything stands on."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import ids
from runtime.clock import ManualClock, SystemClock, datetime_of, ms_of
from runtime.ids import IdSource
from runtime.money import EXPONENTS, format_minor, is_currency
from runtime.queries import load_queries
from runtime.settings import PARTITIONS


@given(st.integers(0, 253_402_300_799_999))
def test_milliseconds_survive_datetime(ms: int) -> None:
    assert ms_of(datetime_of(ms)) == ms


def test_datetime_without_timezone_names_no_instant() -> None:
    with pytest.raises(AssertionError, match="timezone"):
        ms_of(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_manual_clock_moves_when_told() -> None:
    clock = ManualClock(5)
    clock.advance(10)
    clock.advance(-3)
    assert clock.now_ms() == 12


def test_system_clock_tells_the_time() -> None:
    assert abs(SystemClock().now_ms() - ms_of(datetime.now(UTC))) < 5_000


def test_id_is_a_uuid7_in_its_partition() -> None:
    source = IdSource(ManualClock(0x0123_4567_89AB), lambda count: b"\xff" * count)
    made = source.new("card", 10)
    assert made == "card_0a" + "0123456789ab" + "7fff" + "bfffffffffffffff"
    assert ids.is_id(made, ids.CARD)
    assert (ids.partition_of(made), ids.tag_of(made)) == (10, "0a")


def test_ids_of_one_millisecond_differ() -> None:
    source = IdSource(ManualClock())
    assert len({source.new("auth", 0) for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize("partition", [-1, PARTITIONS])
def test_partition_that_does_not_exist(partition: int) -> None:
    with pytest.raises(AssertionError):
        IdSource(ManualClock()).new("card", partition)


@given(st.binary(min_size=6, max_size=6))
def test_authorization_code_is_readable(random: bytes) -> None:
    code = IdSource(ManualClock(), lambda _: random).authorization_code()
    assert len(code) == 6
    assert not set(code) - set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


GOOD = "acct_3f" + "0a" * 16


@pytest.mark.parametrize(
    ("value", "prefixes", "valid"),
    [
        (GOOD, ("acct",), True),
        (GOOD, ("card", "acct"), True),
        (GOOD, ("card",), False),
        (GOOD, (), False),
        ("", ("acct",), False),
        (GOOD + "0", ("acct",), False),
        (GOOD[:-1], ("acct",), False),
        (GOOD + "\n", ("acct",), False),
        (GOOD.upper(), ("acct",), False),
        ("acct_40" + "0a" * 16, ("acct",), False),
        ("pay_0a" + "0a" * 16, ("pay",), True),
    ],
)
def test_is_id(value: str, prefixes: tuple[str, ...], *, valid: bool) -> None:
    assert ids.is_id(value, *prefixes) is valid


@pytest.mark.parametrize(
    ("value", "valid"),
    [("a", True), ("A.b_c:d-9", True), ("x" * 64, True), ("x" * 65, False), ("", False)]
    + [(text, False) for text in ("a b", "a/b", "ä", "a\n", "\x00")],
)
def test_is_request_id(value: str, *, valid: bool) -> None:
    assert ids.is_request_id(value) is valid


def test_owners_spread_over_all_partitions() -> None:
    found = [ids.partition_for_owner(f"owner-{number}") for number in range(4_000)]
    assert set(found) == set(range(PARTITIONS))
    assert max(found.count(n) for n in range(PARTITIONS)) < 2 * 4_000 / PARTITIONS
    assert ids.partition_for_owner("owner-1") == found[1]


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (123_456, "USD", "1,234.56 USD"),
        (-5, "USD", "-0.05 USD"),
        (1_234, "JPY", "1,234 JPY"),
        (1_234, "KWD", "1.234 KWD"),
        (2**53 - 1, "USD", "90,071,992,547,409.91 USD"),
    ],
)
def test_format_minor(amount: int, currency: str, text: str) -> None:
    assert format_minor(amount, currency) == text


def test_currencies() -> None:
    assert all(len(code) == 3 and code.isupper() for code in EXPONENTS)
    assert not any(is_currency(code) for code in ("", "usd", "XXX", "XAU", "XTS", "US"))


def test_queries_by_name(tmp_path: Path) -> None:
    path = tmp_path / "queries.sql"
    path.write_text("-- one --\n-- Says 1.\nSELECT 1\n\n-- two --\nSELECT 2\n")
    assert load_queries(path) == {"one": "-- Says 1.\nSELECT 1", "two": "SELECT 2"}


def test_query_name_that_stands_twice(tmp_path: Path) -> None:
    path = tmp_path / "queries.sql"
    path.write_text("".join(itertools.repeat("-- one --\nSELECT 1\n", 2)))
    with pytest.raises(AssertionError, match="twice"):
        load_queries(path)
