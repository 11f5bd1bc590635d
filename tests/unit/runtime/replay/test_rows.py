"""Reading a table of purchases: good rows, every kind of broken row, every kind of broken file."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runtime.replay.rows import (
    COLUMNS,
    LINE_BYTES_MAX,
    BadRow,
    Row,
    RowFile,
    UnreadableFileError,
)

HEADER = ",".join((*COLUMNS, "category"))
GOOD = "2015-12-31,0042,corner shop,1999,GBP,1999,GBP,Food"


def _table(*lines: str) -> bytes:
    return "\n".join((HEADER, *lines, "")).encode()


def _read(tmp_path: Path, content: bytes, *, name: str = "rows.csv") -> list[Row | BadRow]:
    path = tmp_path / name
    path.write_bytes(content)
    with RowFile(path) as file:
        return list(file.rows())


def _reasons(found: list[Row | BadRow]) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in found if isinstance(row, BadRow)]


def test_a_good_row(tmp_path: Path) -> None:
    """Goal: every cell arrives, the day as the start of that day."""
    assert _read(tmp_path, _table(GOOD)) == [
        Row(
            line=2,
            time=datetime(2015, 12, 31, tzinfo=UTC),
            card_last4="0042",
            merchant="corner shop",
            amount_minor=1999,
            currency="GBP",
            original_amount_minor=1999,
            original_currency="GBP",
        )
    ]


@pytest.mark.parametrize(
    "content",
    [
        _table(GOOD).replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + _table(GOOD),
        _table("", GOOD, "").rstrip(b"\n"),
        _table(GOOD.replace("corner shop", '"corner shop"')),
        gzip.compress(_table(GOOD)),
    ],
    ids=["CRLF", "byte-order mark", "blank lines", "quoted", "gzip by content"],
)
def test_other_ways_to_write_it(tmp_path: Path, content: bytes) -> None:
    """Goal: what spreadsheets write is read."""
    (row,) = _read(tmp_path, content)
    assert isinstance(row, Row)
    assert row.merchant == "corner shop"


def test_columns_in_another_order(tmp_path: Path) -> None:
    """Goal: names decide, not places; columns that are not needed may be missing."""
    names = sorted(COLUMNS)
    cells = dict(zip(COLUMNS, GOOD.split(","), strict=False))
    content = f"{','.join(names)}\n{','.join(cells[name] for name in names)}\n"
    (row,) = _read(tmp_path, content.encode())
    assert isinstance(row, Row)
    assert row.amount_minor == 1999


@pytest.mark.parametrize(
    ("cell", "value", "reason"),
    [
        ("2015-12-31", "31.12.2015", "date '31.12.2015' is no day such as 2015-12-31"),
        ("2015-12-31", "2015-02-30", "date '2015-02-30' is no day such as 2015-12-31"),
        ("2015-12-31", "1999-12-31", "date '1999-12-31' is not between 2000 and 2099"),
        ("0042", "42", "card_last4 '42' is not four digits"),
        ("0042", "004\uff12", "card_last4 '004\uff12' is not four digits"),
        ("corner shop", "  ", "merchant is empty"),
        ("corner shop", "x" * 129, "merchant has more than 128 characters"),
        ("corner shop", "corner\x07shop", "merchant contains control characters"),
        (",1999,GBP,1", ",ten,GBP,1", "amount_minor 'ten' is not a whole number of minor units"),
        (
            ",1999,GBP,1",
            ",19.99,GBP,1",
            "amount_minor '19.99' is not a whole number of minor units",
        ),
        (",1999,GBP,1", ",,GBP,1", "amount_minor '' is not a whole number of minor units"),
        (
            ",1999,GBP,1",
            ",9007199254740992,GBP,1",
            "amount_minor 9007199254740992 is too large: amounts are below 2^53",
        ),
        ("GBP,1999", "ABC,1999", "currency 'ABC' is no ISO 4217 currency code such as GBP"),
        (
            "GBP,Food",
            "gbp,Food",
            "original_currency 'gbp' is no ISO 4217 currency code such as GBP",
        ),
        (",Food", "", "has 7 columns, the header has 8"),
        (",Food", ",Food,", "has 9 columns, the header has 8"),
    ],
)
def test_a_broken_row_is_named_and_the_next_is_read(
    tmp_path: Path, cell: str, value: str, reason: str
) -> None:
    """Goal: line number and reason; the rows around it are not touched."""
    broken = GOOD.replace(cell, value)
    found = _read(tmp_path, _table(GOOD, broken, GOOD))
    assert _reasons(found) == [(3, reason)]
    assert [row.line for row in found] == [2, 3, 4]


def test_a_row_that_is_not_utf8(tmp_path: Path) -> None:
    """Goal: one row in another encoding does not end the reading."""
    content = _table(GOOD, GOOD, GOOD).split(b"\n")
    content[2] = content[2].replace(b"corner", b"caf\xe9")
    assert _reasons(_read(tmp_path, b"\n".join(content))) == [(3, "is not UTF-8")]


def test_a_line_without_end(tmp_path: Path) -> None:
    """Goal: memory is bounded: a line longer than the limit is one bad row."""
    endless = "x" * (3 * LINE_BYTES_MAX)
    found = _read(tmp_path, _table(GOOD, endless, GOOD))
    assert _reasons(found) == [(3, f"is longer than {LINE_BYTES_MAX} bytes")]
    assert len(found) == 3


def test_a_quotation_mark_that_is_not_closed(tmp_path: Path) -> None:
    """Goal: rows that it swallows do not vanish in silence; reading goes on after the limit."""
    opened = GOOD.replace("corner", '"corner')
    found = _read(tmp_path, _table(GOOD, opened, *[GOOD] * 4000))
    assert isinstance(found[0], Row)
    line, reason = _reasons(found)[0]
    assert line == 3
    assert "is a quotation mark missing?" in reason
    assert isinstance(found[-1], Row)
    assert found[-1].line == 4003


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "rows.csv", "is empty"),
        (b"", "rows.csv.gz", "is empty"),
        (gzip.compress(b""), "rows.csv.gz", "is empty"),
        (b"\n\n", "rows.csv", "is empty"),
        (b"date,merchant\n", "rows.csv", "the header has no column card_last4, amount_minor"),
        (GOOD.encode(), "rows.csv", "the header has no column date"),
        (b"plain text", "rows.csv.gz", "is not compressed with gzip"),
        (gzip.compress(_table(GOOD))[:15], "rows.csv.gz", "truncated"),
        (_table(GOOD).decode().encode("utf-16"), "rows.csv", "is not UTF-8"),
        (b"\x00" * 100, "rows.csv", "the header has no column"),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, content: bytes, name: str, message: str) -> None:
    """Goal: refused as a whole, with what is wrong."""
    with pytest.raises(UnreadableFileError, match=message):
        _read(tmp_path, content, name=name)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """Goal: missing files and folders are named."""
    with pytest.raises(UnreadableFileError, match="No such file"):
        RowFile(tmp_path / "none.csv")
    with pytest.raises(UnreadableFileError, match="directory"):
        RowFile(tmp_path)


def _flip(data: bytes) -> bytes:
    """The checksum at the end is wrong."""
    return data[:-8] + bytes([data[-8] ^ 0xFF]) + data[-7:]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(lambda data: data[: len(data) // 2], "truncated"), (_flip, "damaged")],
)
def test_gzip_that_breaks_off(
    tmp_path: Path, damage: Callable[[bytes], bytes], reason: str
) -> None:
    """Goal: what can be read is read; the rest is one bad row, and the file says so."""
    rows = [GOOD.replace("0042", f"{number % 10_000:04}") for number in range(20_000)]
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(damage(gzip.compress(_table(*rows))))
    with RowFile(path) as file:
        found = list(file.rows())
        assert reason in file.ended_early
    assert _reasons(found) == [(len(found) + 1, file.ended_early)]
    assert len(found) > 1000


def test_progress_ends_at_one(tmp_path: Path) -> None:
    """Goal: the fraction read grows to 1."""
    path = tmp_path / "rows.csv"
    path.write_bytes(_table(*[GOOD] * 10_000))
    with RowFile(path) as file:
        begun = file.fraction
        list(file.rows())
        assert 0 < begun < file.fraction == 1
