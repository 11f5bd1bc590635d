"""The document of a statement: what is on it, in letters that its fonts have."""

from __future__ import annotations

import re
import zlib

import pytest

from accounts.billing.statement_pdf import as_pdf
from holdfast.accounts.v1 import statement_pb2 as pb
from holdfast.type.v1.money_pb2 import Money
from runtime.paper import latin


def usd(minor: int) -> Money:
    return Money(currency_code="USD", amount_minor=minor)


def totals(**found: int) -> pb.StatementTotals:
    names = [one.name for one in pb.StatementTotals.DESCRIPTOR.fields]
    return pb.StatementTotals(**{name: usd(found.get(name, 0)) for name in names})


def statement() -> pb.Statement:
    found = pb.Statement(
        account_id="acct_0a0192f3c4d5e67f8a9b0c1d2e3f4a5b6c",
        number=2,
        cycle_start_date="2026-12-22",
        cycle_end_date="2027-01-21",
        due_date="2027-02-18",
        opening_balance=usd(100_000),
        closing_balance=usd(104_622),
        minimum_payment=usd(9_168),
        past_due=usd(3_500),
        totals=totals(fees=2_500, interest=2_122, payments=1_000),
        interest_charges=[
            pb.InterestCharge(
                category="PURCHASE", annual_percentage_rate="24.99", amount=usd(2_122)
            )
        ],
        year_to_date=pb.YearToDate(year=2027, fees=usd(2_500), interest=usd(2_122)),
        payoff_warning=pb.PayoffWarning(
            minimum_months=48,
            minimum_total=usd(166_712),
            payment_36_months=usd(4_159),
            total_36_months=usd(149_724),
            savings=usd(16_988),
        ),
    )
    found.issue_time.FromJsonString("2027-01-22T12:00:00Z")
    return found


def lines(purchases: int) -> list[pb.StatementLine]:
    bought = [
        pb.StatementLine(
            date="2026-12-24", type="CAPTURE", description=f"Shop {number}", amount=usd(100)
        )
        for number in range(purchases)
    ]
    return [
        *bought,
        pb.StatementLine(
            date="2027-01-03", type="PAYMENT_CREDIT", description="Payment", amount=usd(-1_000)
        ),
        pb.StatementLine(date="2027-01-16", type="FEE", description="Late fee", amount=usd(2_500)),
        pb.StatementLine(
            date="2027-01-21",
            type="INTEREST",
            description="Interest on purchases",
            amount=usd(2_122),
        ),
    ]


def shown(document: bytes) -> list[str]:
    """Everything that is printed, in its order."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", document, re.DOTALL)
    text = b"\n".join(zlib.decompress(one) for one in streams)
    return [one.decode("latin-1") for one in re.findall(rb"\((.*?)\) Tj", text)]


def test_it_says_what_is_due_and_what_it_comes_of() -> None:
    found = shown(as_pdf(statement(), lines(1), creditor="First Bank, 1 Main Street"))
    text = " ".join(found)
    for expected in (
        "First Bank",
        "1 Main Street",
        "Dec 22, 2026 to Jan 21, 2027",
        "ending in 5b6c",
        "31 days in billing cycle",
        "91.68",
        "Feb 18, 2027",
        "Total fees for this period",
        "Total interest charged for this period",
        "Total fees charged in 2027",
        "24.99%",
        "4 years",
        "41.59",
    ):
        assert expected in text
    assert statement().account_id not in text, "its end is enough"
    heads = ("Payments and credits", "Purchases and cash advances", "Fees", "Interest charged")
    places = [max(number for number, one in enumerate(found) if one == head) for head in heads]
    assert places == sorted(places)


def test_many_lines_take_many_pages_and_the_same_bytes_each_time() -> None:
    document = as_pdf(statement(), lines(200), creditor="First Bank")
    assert document == as_pdf(statement(), lines(200), creditor="First Bank")
    pages = len(re.findall(rb"/Type /Page\b", document))
    assert pages > 3
    assert sum("account ending in 5b6c" in one for one in shown(document)) == pages - 1


def test_nothing_owed_and_nothing_bought() -> None:
    empty = pb.Statement(
        account_id=statement().account_id,
        number=3,
        cycle_start_date="2027-01-22",
        cycle_end_date="2027-02-21",
        due_date="2027-03-18",
        opening_balance=usd(0),
        closing_balance=usd(0),
        minimum_payment=usd(0),
        totals=totals(),
        year_to_date=pb.YearToDate(year=2027, fees=usd(0), interest=usd(0)),
        grace=True,
    )
    text = " ".join(shown(as_pdf(empty, [], creditor="First Bank")))
    assert "There were none." in text
    assert "warning" not in text
    assert "Payment due date" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Café Zürich", "Café Zürich"),
        ("\u0141\u00f3d\u017a \u2013 \u201cKawa\u201d", 'Lód\u007a - "Kawa"'),
        ("\u4e2d\u6587", "??"),
    ],
)
def test_letters_that_the_fonts_do_not_have(text: str, expected: str) -> None:
    assert latin(text) == expected
