"""When terms may follow one another."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from accounts.programme import ProgrammeTerms, TermsRefusal, add_terms, risen

TODAY = date(2027, 1, 15)
BEFORE = ProgrammeTerms(
    programme_id="prog_x",
    version=1,
    effective_date=date(2027, 1, 1),
    terms=b"",
    create_time_ms=0,
)
CHARGED = {"apr": Decimal("24.99"), "late": Decimal(2900)}


@pytest.mark.parametrize(
    ("days", "charges", "refusal"),
    [
        (-15, CHARGED, TermsRefusal.IN_THE_PAST),
        (-1, {}, TermsRefusal.IN_THE_PAST),
        (0, CHARGED, None),
        (0, {"apr": Decimal("19.99")}, None),
        (44, {"apr": Decimal("25.00")}, TermsRefusal.NOTICE_TOO_SHORT),
        (44, CHARGED | {"annual": Decimal(1)}, TermsRefusal.NOTICE_TOO_SHORT),
        (45, {"apr": Decimal("25.00")}, None),
    ],
)
def test_following_terms(
    days: int, charges: dict[str, Decimal], refusal: TermsRefusal | None
) -> None:
    day = TODAY + timedelta(days=days)
    before = BEFORE if day > BEFORE.effective_date else None
    before = before or ProgrammeTerms(
        programme_id="prog_x",
        version=1,
        effective_date=day - timedelta(days=1),
        terms=b"",
        create_time_ms=0,
    )
    found = add_terms(before, CHARGED, effective_date=day, charged_after=charges, today=TODAY)
    assert found is refusal


def test_terms_follow_one_another() -> None:
    for days in (0, -1):
        day = BEFORE.effective_date + timedelta(days=days)
        found = add_terms(BEFORE, {}, effective_date=day, charged_after={}, today=TODAY)
        assert found is TermsRefusal.NOT_LATER


def test_the_first_terms_begin_whenever_they_like() -> None:
    day = date(2001, 1, 1)
    assert add_terms(None, {}, effective_date=day, charged_after=CHARGED, today=TODAY) is None


def test_what_has_risen() -> None:
    assert risen(CHARGED, CHARGED) == ()
    assert risen({}, {"b": Decimal(1), "a": Decimal("0.1"), "c": Decimal(0)}) == ("a", "b")
    assert risen(CHARGED, {}) == ()
