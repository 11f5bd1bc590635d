"""Imports and exports of CSV files: what is read, sent, repeated, counted and written."""

from __future__ import annotations

import asyncio
import csv
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import grpc
import pytest

from runtime.cli.bulk import BATCH_ROWS, IN_FLIGHT, Report, run_import
from runtime.cli.csv_file import (
    CREATED,
    EXISTED,
    REFUSED,
    CsvFile,
    Outcome,
    Row,
    Wrong,
    run_export,
    written_results,
)
from runtime.cli.output import CliError

COLUMNS = ("reference", "name")


def read(path: Path, content: str | bytes) -> list[Row]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(CsvFile(path, columns=COLUMNS, required=("reference",)).rows())


def rows(count: int) -> Iterator[Row]:
    return (Row(line=number + 2, values={"reference": f"r{number}"}) for number in range(count))


class Server:
    """Makes rows it does not know yet; `failing` times it does not answer first."""

    def __init__(self, *, failing: int = 0, code: grpc.StatusCode | None = None) -> None:
        self.known: set[str] = set()
        self.request_ids: list[str] = []
        self.failing = failing
        self.code = code or grpc.StatusCode.UNAVAILABLE
        self.at_once = self.most_at_once = 0

    async def send(self, request_id: str, batch: Sequence[Row]) -> list[Outcome]:
        self.request_ids.append(request_id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.001)
        self.at_once -= 1
        if self.failing:
            self.failing -= 1
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(self.code, nothing, nothing, details="not now")
        found = []
        for row in batch:
            reference = row.values["reference"]
            word = EXISTED if reference in self.known else CREATED
            self.known.add(reference)
            found.append(Outcome(word=word, id=f"id-{reference}"))
        return found


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("reference,name\na,Ada\n", [(2, {"reference": "a", "name": "Ada"}, ())]),
        ("\ufeffname, reference\nAda , a\n", [(2, {"reference": "a", "name": "Ada"}, ())]),
        ("reference,name\n\na,\n", [(3, {"reference": "a"}, ())]),
        (
            'reference,name\na,"A\nB"\nb,Eve\n',
            [
                (2, {"reference": "a", "name": "A\nB"}, ()),
                (4, {"reference": "b", "name": "Eve"}, ()),
            ],
        ),
        (
            "reference,name\na\nb,Eve\n",
            [
                (2, {}, (Wrong("", "has 1 fields; the first line names 2"),)),
                (3, {"reference": "b", "name": "Eve"}, ()),
            ],
        ),
        ("", None),
        ("reference,nome\na,Ada\n", None),
        ("name\nAda\n", None),
        ("reference,reference\na,b\n", None),
        ('reference\n"a\n', None),
        (
            f"reference\n{'a' * 4_097}\n{'b' * 4_096}\n",
            [
                (
                    2,
                    {"reference": "a" * 4_097},
                    (Wrong("reference", "has more than 4,096 characters"),),
                ),
                (3, {"reference": "b" * 4_096}, ()),
            ],
        ),
        (f"reference\n{'a' * 65_537}\n", None),
    ],
)  # fmt: skip
def test_files_are_read_by_their_first_line(
    tmp_path: Path, content: str, expected: list[tuple[int, dict[str, str], object]] | None
) -> None:
    path = tmp_path / "users.csv"
    if expected is None:
        with pytest.raises(CliError):
            read(path, content)
    else:
        assert [(row.line, row.values, row.wrong) for row in read(path, content)] == expected


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"reference,nome,e_mail\na,Ada,x\n", "nome, e_mail"),
        # A file that has no such line, and one in another encoding.
        (b"a,Ada Byron,ada@example.com,512-34-9999\n", "a, number 2, number 3, number 4"),
        (b"reference,Stra\xdfe\na,b\n", "number 2"),
    ],
)
def test_who_stands_in_the_first_line_is_not_repeated(
    tmp_path: Path, content: bytes, named: str
) -> None:
    path = tmp_path / "users.csv"
    with pytest.raises(CliError) as refused:
        read(path, content)
    assert refused.value.message == f"{path} has columns that are not known: {named}"


def test_what_is_no_text_is_a_fault_of_its_row(tmp_path: Path) -> None:
    first, second = read(tmp_path / "f.csv", b"reference,name\na,\xff\nb,Eve\n")
    assert first.wrong == (Wrong("name", "is not UTF-8"),)
    assert second.values["name"] == "Eve"


async def test_everything_is_sent_once_in_batches() -> None:
    server, report = Server(), Report()
    seen: list[int] = []
    count = 10 * BATCH_ROWS + 1
    await run_import(
        rows(count), server.send, report=report, on_row=lambda row, _: seen.append(row.line)
    )
    assert (report.rows, report.counts[CREATED], len(server.known)) == (count, count, count)
    assert seen == list(range(2, count + 2))
    assert len(set(server.request_ids)) == len(server.request_ids) == 11
    assert server.most_at_once == IN_FLIGHT


async def test_files_are_read_no_further_than_what_is_on_its_way() -> None:
    """Goal: memory is bounded, however long the file is."""
    server, report, ahead = Server(), Report(), 0

    def watched() -> Iterator[Row]:
        nonlocal ahead
        for number, row in enumerate(rows(20 * BATCH_ROWS)):
            ahead = max(ahead, number - report.rows)
            yield row

    await run_import(watched(), server.send, report=report)
    assert ahead <= (IN_FLIGHT + 1) * BATCH_ROWS


async def test_unanswered_batches_are_repeated_under_their_id() -> None:
    server, report = Server(failing=3), Report()
    await run_import(rows(3), server.send, report=report, in_flight=1)
    assert report.counts[CREATED] == 3
    assert len(server.request_ids) == 4
    assert len(set(server.request_ids)) == 1


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED])
async def test_who_goes_on_makes_nothing_twice(code: grpc.StatusCode) -> None:
    server, count = Server(), 3 * BATCH_ROWS
    report = Report()

    async def send(request_id: str, batch: Sequence[Row]) -> list[Outcome]:
        if len(server.known) >= BATCH_ROWS:
            server.failing, server.code = 1, code
        return await server.send(request_id, batch)

    with pytest.raises(CliError) as stopped:
        await run_import(rows(count), send, report=report, in_flight=1, patience_s=0)
    assert report.done_line == BATCH_ROWS + 1
    assert f"up to {report.done_line}" in stopped.value.hint
    assert code.name in stopped.value.message
    again = Report()
    server.failing = 0
    await run_import(rows(count), server.send, report=again)
    assert (again.counts[EXISTED], again.counts[CREATED]) == (BATCH_ROWS, 2 * BATCH_ROWS)


async def test_wrong_rows_are_not_sent_and_the_others_are(tmp_path: Path) -> None:
    wrong = Row(line=3, values={}, wrong=(Wrong("", "has 1 fields"),))
    first, last = rows(2)
    server, report = Server(), Report()
    path = tmp_path / "results.csv"
    with written_results(path) as tell:
        await run_import(iter([first, wrong, last]), server.send, report=report, on_row=tell)
    assert (report.counts[CREATED], report.counts[REFUSED]) == (2, 1)
    assert report.shown == [(3, Wrong("", "has 1 fields"))]
    assert list(csv.reader(path.read_text().splitlines()))[1:] == [
        ["2", "r0", "id-r0", "created", "", ""],
        ["3", "", "", "refused", "", "has 1 fields"],
        ["3", "r1", "id-r1", "created", "", ""],
    ]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_exports_are_whole_or_not_there(tmp_path: Path) -> None:
    async def some(*, broken: bool) -> AsyncIterator[list[str]]:
        yield ["a", "A,\nB"]
        if broken:
            raise CliError("gone")

    path = tmp_path / "out.csv"
    with pytest.raises(CliError):
        await run_export(path, COLUMNS, some(broken=True))
    assert os.listdir(tmp_path) == []  # noqa: PTH208
    assert await run_export(path, COLUMNS, some(broken=False)) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert [row.values["name"] for row in read(tmp_path / "again.csv", path.read_bytes())] == [
        "A,\nB"
    ]
    with pytest.raises(CliError):
        await run_export(tmp_path / "no" / "out.csv", COLUMNS, some(broken=False))


async def test_no_spreadsheet_runs_what_people_call_themselves(tmp_path: Path) -> None:
    """Goal: names, nicknames and references that begin like formulas are texts; a telephone number
    stays one.
    """
    formulas = ["=cmd|'/c calc'!A0", "@SUM(1)", "-1+cmd", "+1-2", " =1", "\t=1", "\uff1d1"]
    texts = ["+12125550123", "Anna =1", "***6789", ""]

    async def people() -> AsyncIterator[list[str]]:
        for text in (*formulas, *texts):
            yield ["x", text]

    path = tmp_path / "out.csv"
    await run_export(path, COLUMNS, people())
    with path.open(newline="") as text:
        found = [row[1] for row in csv.reader(text)]
    assert found[1:] == [*(f"'{one}" for one in formulas), *texts]
    with written_results(path) as tell:
        tell(Row(line=2, values={"reference": formulas[0]}), Outcome(word=REFUSED))
    assert [row[1] for row in csv.reader(path.read_text().splitlines())][1:] == [f"'{formulas[0]}"]
