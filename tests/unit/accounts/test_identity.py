"""Whether an applicant can be the user who applies."""

from __future__ import annotations

import pytest

from accounts.applications.identity import contradicts
from accounts.user import Personal

CLAIMED = Personal(name="Zoë Müller-Lüdenscheidt", birth_date="1987-05-04", tax_id="512-34-9999")


@pytest.mark.parametrize(
    ("known", "other"),
    [
        (Personal(name="Zoë"), False),
        (Personal(name="zoe MULLER"), False),
        (Personal(name="Zoe Sample", birth_date="1987-05-04", tax_id="512349999"), False),
        (Personal(name="Boris Sample"), True),
        (Personal(name="Zoë Müller", birth_date="1987-05-05"), True),
        (Personal(name="Zoë Müller", tax_id="512-34-9998"), True),
        # Initials are no words, and say nothing.
        (Personal(name="Z M"), True),
    ],
)
def test_one_person_has_one_identity(known: Personal, other: bool) -> None:
    assert contradicts(known, CLAIMED) is other


@pytest.mark.parametrize(("one", "other", "expected"), [("X", "x ", False), ("李", "王", True)])
def test_names_of_one_letter(one: str, other: str, expected: bool) -> None:
    assert contradicts(Personal(name=one), Personal(name=other)) is expected
