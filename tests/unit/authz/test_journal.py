"""What the journal carries: outcome lines, entries, and the ledger's lines and rows of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz import entry as entries
from authz import ledger, outcome
from authz.entry import Entry, Header, static_part
from authz.lateness import Late
from authz.ledger_store import outcome_of, seed_of
from authz.merchant_amounts import MerchantAmounts
from authz.outcome import EntryType, Outcome
from authz.settle_rows import ENTRY_COLUMNS, Batch, columns
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.clock import datetime_of

WHOLE = st.integers(0, 2**53 - 1)
ANY = st.integers(-(2**53), 2**53)
WORD = st.text(st.sampled_from("abcdefABC019_"), max_size=40)
NAME = st.text(st.sampled_from("abcABC019_"), min_size=1, max_size=40)
OUTCOMES = st.builds(
    Outcome,
    epoch=WHOLE,
    pseq=WHOLE,
    seq=WHOLE,
    type=st.sampled_from(EntryType),
    recorded_at_ms=st.integers(0, 4_102_444_800_000),
    authorization_id=WORD,
    reason=st.integers(0, 99),
    amount_minor=WHOLE,
    limit_minor=WHOLE,
    posted_minor=ANY,
    held_minor=ANY,
    unreleased_minor=WHOLE,
    hold_approved_minor=WHOLE,
    hold_reversed_minor=WHOLE,
    hold_captured_minor=WHOLE,
    hold_held_minor=WHOLE,
    hold_refunded_minor=WHOLE,
    hold_flags=st.text(st.sampled_from("adfve"), max_size=5),
    expire_at_ms=st.integers(0, 4_102_444_800_000),
    authorization_code=st.text(st.sampled_from("ABC123"), max_size=6),
    control=WORD,
    control_left_minor=ANY,
    control_left_count=ANY,
    hold_windows=WORD,
)
HEADERS = st.builds(
    Header,
    principal=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40),
    request_id=NAME,
    **dict.fromkeys(Header._fields[2:-1], WORD),
    late=st.sampled_from(Late),
)

PLAIN = Outcome(
    epoch=1,
    pseq=7,
    seq=3,
    type=EntryType.CAPTURE,
    recorded_at_ms=1_800_000_000_000,
    authorization_id="auth_1",
    reason=0,
    amount_minor=40,
    limit_minor=1_000,
    posted_minor=40,
    held_minor=60,
    unreleased_minor=0,
    hold_approved_minor=100,
    hold_reversed_minor=0,
    hold_captured_minor=40,
    hold_held_minor=60,
    hold_refunded_minor=0,
    hold_flags="a",
    expire_at_ms=1_800_000_600_000,
    authorization_code="",
)
HEADER = Header(
    principal="p",
    request_id="r",
    fingerprint="f",
    account_id="acct_1",
    card_id="card_1",
    owner_id="co_1",
    currency="USD",
)


def _entry(found: Outcome, request: bytes = b"", header: Header = HEADER) -> Entry:
    return entries.parse(outcome.render(found).encode() + b"\n" + static_part(header, request))


@given(OUTCOMES)
def test_outcome_round_trip(found: Outcome) -> None:
    assert outcome.parse(outcome.render(found)) == found


@pytest.mark.parametrize(
    "line",
    [
        "",
        outcome.VERSION,
        "1" + "|0" * len(outcome.FIELDS),
        outcome.VERSION + "|0" * (len(outcome.FIELDS) + 1),
        f"{outcome.VERSION}|x",
    ],
)
def test_line_that_is_no_outcome_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match="not an outcome of version 2"):
        outcome.parse(line)


@given(OUTCOMES, HEADERS, st.binary(max_size=200))
def test_entry_round_trip_with_any_request(found: Outcome, header: Header, request: bytes) -> None:
    raw = outcome.render(found).encode() + b"\n" + static_part(header, request)
    read = entries.parse(raw)
    assert (read.outcome, read.header, read.request) == (found, header, request)
    # The worker's connection answers text: bytes that are no UTF-8 must survive it.
    text = raw.decode("utf-8", "surrogateescape")
    assert text.encode("utf-8", "surrogateescape") == raw


@pytest.mark.parametrize("header", [b"", b"1", b"4\tp", b"{}", b"2" + b"\t" * 15])
def test_header_of_another_version_or_length_is_an_error(header: bytes) -> None:
    with pytest.raises(ValueError, match="not a header of version 4"):
        entries.parse(b"line\n" + header + b"\n")


def test_headers_from_before_trace_ids_are_read() -> None:
    """A journal may hold such entries when the settler is replaced by a newer one."""
    line = outcome.render(PLAIN).encode()
    fields = HEADER._asdict().items()
    old = [value for name, value in fields if name not in ("trace_id", "late")]
    raw = line + b"\n" + "\t".join(("3", *old)).encode() + b"\nrequest"
    read = entries.parse(raw)
    assert (read.header, read.request, read.raw) == (HEADER, b"request", raw)


def test_entry_id_follows_from_principal_and_request() -> None:
    header = Header(principal="p", request_id="r", card_id="card_0a")
    assert header.id_in("0a") == ids.derived(ids.ENTRY, "0a", "p", "r")
    assert header._replace(account_id="acct_0a1").id_in("0a") == header.id_in("0a")


@given(OUTCOMES)
def test_lines_sum_to_zero_and_name_what_moved(found: Outcome) -> None:
    lines = ledger.lines(found)
    assert sum(line.amount_minor for line in lines) == 0
    assert all(line.amount_minor for line in lines)
    owed = sum(
        line.amount_minor
        for line in lines
        if line.ledger_account.startswith(("receivable.", ledger.CUSTOMER_CREDIT))
    )
    if found.type in ledger.DEBITS:
        assert owed == found.amount_minor
    elif found.type in ledger.CREDITS:
        assert owed == -found.amount_minor
    else:
        assert owed == 0


@pytest.mark.parametrize(
    ("amount", "posted_after", "expected"),
    [
        (100, 100, {"receivable.purchase": 100, "network_clearing": -100}),
        (100, -50, {"customer_credit": 100, "network_clearing": -100}),
        (100, 0, {"customer_credit": 100, "network_clearing": -100}),
        (
            100,
            60,
            {"customer_credit": 40, "receivable.purchase": 60, "network_clearing": -100},
        ),
    ],
)
def test_purchase_uses_up_customer_credit_first(
    amount: int, posted_after: int, expected: dict[str, int]
) -> None:
    found = PLAIN._replace(amount_minor=amount, posted_minor=posted_after)
    assert dict(ledger.lines(found)) == expected


def test_batch_keeps_origin_and_decision_of_an_authorization() -> None:
    """A capture before its authorization, the authorization, a decline of its duplicate."""
    capture = rpc.CaptureAuthorizationRequest(amount=Money(currency_code="USD", amount_minor=40))
    purchase = rpc.AuthorizeRequest(amount=Money(currency_code="USD", amount_minor=100))
    early = PLAIN._replace(pseq=7, hold_approved_minor=0, hold_flags="", expire_at_ms=0)
    decided = PLAIN._replace(pseq=8, type=EntryType.AUTHORIZATION, recorded_at_ms=1_800_000_000_001)
    duplicate = decided._replace(pseq=9, type=EntryType.DECLINE, reason=29, expire_at_ms=0)
    batch = Batch()
    batch.add(
        10,
        [
            _entry(early, capture.SerializeToString()),
            _entry(decided, purchase.SerializeToString(), HEADER._replace(principal="q")),
            _entry(duplicate, purchase.SerializeToString()),
        ],
    )
    assert len(batch.entries) == 3
    assert all(len(row) == len(ENTRY_COLUMNS) for row in batch.entries)
    assert [line[3:] for line in batch.lines] == [
        ("receivable.purchase", "acct_1", "USD", 40),
        ("network_clearing", "acct_1", "USD", -40),
    ]
    assert batch.totals == {
        (10, "USD", "receivable.purchase"): [40, 0],
        (10, "USD", "network_clearing"): [0, 40],
    }
    row = batch.authorizations["auth_1"]
    assert row.principal == "p"
    assert row.expire_time is not None
    assert (row.decision_pseq, row.first_pseq) == (8, 7)
    assert row.create_time < row.update_time
    assert list(batch.balances) == ["acct_1"]


def test_decline_of_an_unknown_card_has_no_balance() -> None:
    header = Header(principal="p", request_id="r", card_id="card_1")
    declined = PLAIN._replace(type=EntryType.DECLINE, seq=0, reason=2)
    request = rpc.AuthorizeRequest(amount=Money(currency_code="EUR", amount_minor=100))
    batch = Batch()
    batch.add(1, [_entry(declined, request.SerializeToString(), header)])
    row = dict(zip(ENTRY_COLUMNS, batch.entries[0], strict=True))
    assert (row["account_id"], row["currency"], row["decision"]) == (None, "EUR", "DECLINED")
    assert batch.balances == {}
    assert batch.lines == []


def test_row_gives_the_outcome_back() -> None:
    batch = Batch()
    batch.add(10, [_entry(PLAIN)])
    row = dict(zip(ENTRY_COLUMNS, batch.entries[0], strict=True))
    for name in ("recorded_time", "expire_time"):
        row[name] = datetime_of(row[name])
    assert outcome_of(row) == PLAIN
    assert (row["company_id"], row["user_id"]) == ("co_1", None)


def test_batches_of_two_partitions_are_absorbed() -> None:
    one, other, both = Batch(), Batch(), Batch()
    one.add(10, [_entry(PLAIN)])
    there = HEADER._replace(account_id="acct_2")
    other.add(11, [_entry(PLAIN._replace(authorization_id="auth_2"), b"", there)])
    both.absorb(one)
    both.absorb(other)
    assert [row[0] for row in both.entries] == [10, 11]
    assert set(both.balances) == {"acct_1", "acct_2"}
    assert set(both.authorizations) == {"auth_1", "auth_2"}
    assert len(both.totals) == 4


def test_columns_of_rows() -> None:
    assert columns([(1, 2), (3, 4)], 2) == [[1, 3], [2, 4]]
    assert columns([], 2) == [[], []]


def test_seed_is_what_the_scripts_read() -> None:
    row = {
        "approved_minor": 1,
        "reversed_minor": 2,
        "captured_minor": 3,
        "held_minor": 4,
        "refunded_minor": 5,
        "flags": "af",
        "decision_pseq": None,
        "first_pseq": 9,
        "expire_time": None,
        "windows": "card/daily,5,1,1",
    }
    amounts = MerchantAmounts(asked="9|EUR", cleared="3|EUR 4|JPY ", advised_at_ms=8)
    assert seed_of(row, amounts) == "1|2|3|4|5|af|9|0|8|9:EUR|3:EUR 4:JPY |card/daily,5,1,1"
    assert seed_of(row, MerchantAmounts()) == "1|2|3|4|5|af|9|0|0|||card/daily,5,1,1"
