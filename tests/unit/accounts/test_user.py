from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import personal
from accounts.machine import IllegalTransition
from accounts.person_keys import SEALED, DataKey, PersonKeys, opened, person_keys, sealed
from accounts.user import (
    Address,
    Personal,
    User,
    UserState,
    UserTransition,
    create_user,
    erase_user,
    masked,
    move_user,
    update_user,
)
from runtime.clock import ManualClock
from runtime.errors import InvalidArgument
from runtime.secrets import FileSecrets
from runtime.validate import Violations

UNVERIFIED, ACTIVE, SUSPENDED, CLOSED = UserState
VERIFY, SUSPEND, REACTIVATE, CLOSE = UserTransition
TODAY = date(2026, 11, 21)
ADDRESS = Address(
    line1="1 Main St", line2="", city="Troy", region="NY", postal_code="12180", country_code="US"
)
ADA = Personal(
    name="Ada Byron",
    email="ada@example.com",
    phone="+12125550123",
    address=ADDRESS,
    birth_date="1990-12-10",
    tax_id="123-45-6789",
    tax_country_code="US",
)


def _user(*transitions: UserTransition) -> User:
    user = create_user(ADA, user_id="usr_0a1", now_ms=1_000)
    for transition in transitions:
        moved = move_user(user, transition, now_ms=2_000)
        assert isinstance(moved, User)
        user = moved
    return user


@pytest.mark.parametrize(
    ("path", "transition", "found"),
    [
        ((), VERIFY, ACTIVE),
        ((), SUSPEND, SUSPENDED),
        ((), CLOSE, CLOSED),
        ((), REACTIVATE, (SUSPENDED,)),
        ((VERIFY,), VERIFY, ACTIVE),
        ((VERIFY,), SUSPEND, SUSPENDED),
        ((VERIFY,), REACTIVATE, ACTIVE),
        ((VERIFY,), CLOSE, CLOSED),
        ((SUSPEND,), REACTIVATE, UNVERIFIED),
        ((SUSPEND,), SUSPEND, SUSPENDED),
        ((SUSPEND,), VERIFY, None),
        ((VERIFY, SUSPEND), REACTIVATE, ACTIVE),
        ((VERIFY, SUSPEND), CLOSE, CLOSED),
        ((CLOSE,), CLOSE, CLOSED),
        ((CLOSE,), VERIFY, None),
        ((CLOSE,), SUSPEND, None),
        ((CLOSE,), REACTIVATE, None),
    ],
)
def test_transitions(path: tuple[UserTransition, ...], transition: UserTransition, found: object):  # type: ignore[no-untyped-def]  # noqa: ANN201
    user = _user(*path)
    moved = move_user(user, transition, now_ms=3_000)
    if isinstance(found, UserState):
        assert isinstance(moved, User)
        assert moved.state is found
        assert (moved is user) == (user.state is found)
        assert moved.version == user.version + (moved is not user)
    else:
        assert isinstance(moved, IllegalTransition)
        assert (moved.subject, moved.source) == ("user", user.state)
        assert (
            set(moved.allowed)
            == {
                UNVERIFIED: {ACTIVE, SUSPENDED, CLOSED},
                SUSPENDED: {ACTIVE, CLOSED},
                CLOSED: set(),
            }[user.state]
        )


def test_updates_and_erasing() -> None:
    user = _user(CLOSE)
    assert update_user(user, ADA, now_ms=9) is user
    erased = erase_user(user, now_ms=9)
    assert erased.personal == Personal()
    assert (erased.id, erased.version, erased.erase_time_ms) == (user.id, user.version + 1, 9)
    assert erase_user(erased, now_ms=10) is erased


def test_what_is_masked() -> None:
    shown = masked(ADA)
    assert (shown.name, shown.email, shown.phone) == ("Ada Byron", "a***@example.com", "***0123")
    assert (shown.tax_id, shown.birth_date) == ("***6789", "")
    assert shown.address is not None
    assert (shown.address.line1, shown.address.region) == ("", "NY")
    assert masked(Personal()) == Personal()
    assert "Ada" not in repr(_user())


def _errors(check: Violations) -> list[str]:
    try:
        check.raise_if_any()
    except InvalidArgument as error:
        return [one.field for one in error.violations]
    return []


EMAILS = {
    "ada@example.com": "ada@example.com",
    "A.d+a@Mail.Example.COM": "A.d+a@mail.example.com",
    "": None,
    "ada": None,
    "@example.com": None,
    "ada@": None,
    "ada@example": None,
    "a..b@example.com": None,
    "ada@exa mple.com": None,
    "ada@-example.com": None,
    "ada\n@example.com": None,
    "x" * 65 + "@example.com": None,
    "ada@" + "x" * 250 + ".com": None,
}
PHONES = {
    "+12125550123": True,
    "+493012345678": True,
    "12125550123": False,
    "+1 212 555 0123": False,
    "+1212": False,
    "+0123456789": False,
    "+1234567890123456": False,
}
BIRTH_DATES = {
    "1990-12-10": True,
    "2008-11-21": True,
    "2008-11-22": False,
    "1890-01-01": False,
    "2030-01-01": False,
    "1990-02-30": False,
    "19901210": False,
    "1990-1-1": False,
}
TAX_IDS = {
    ("123-45-6789", "US"): "123-45-6789",
    ("123456789", "US"): "123-45-6789",
    ("900-70-1234", "US"): "900-70-1234",
    ("900-10-1234", "US"): None,
    ("000-12-3456", "US"): None,
    ("666-12-3456", "US"): None,
    ("123-00-4567", "US"): None,
    ("123-45-0000", "US"): None,
    ("12345678", "US"): None,
    ("de-123/45", "DE"): "DE-123/45",
    ("x", "DE"): None,
    ("-1234", "DE"): None,
}


@pytest.mark.parametrize("value", EMAILS)
def test_emails(value: str) -> None:
    check = Violations()
    found = personal.email_of("email", value, check)
    assert (None if _errors(check) else found) == EMAILS[value]


@pytest.mark.parametrize("value", PHONES)
def test_phones(value: str) -> None:
    check = Violations()
    personal.phone_of("phone", value, check)
    assert (not _errors(check)) is PHONES[value]


@pytest.mark.parametrize("value", BIRTH_DATES)
def test_birth_dates(value: str) -> None:
    check = Violations()
    personal.birth_date_of("birth_date", value, TODAY, check)
    assert (not _errors(check)) is BIRTH_DATES[value]


@pytest.mark.parametrize(("value", "country"), TAX_IDS)
def test_tax_ids(value: str, country: str) -> None:
    check = Violations()
    found = personal.tax_id_of("tax_id", value, country, check)
    assert (None if _errors(check) else found) == TAX_IDS[value, country]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, []),
        ({"country_code": "DE", "region": "", "postal_code": "10115"}, []),
        ({"line1": ""}, ["address.line1"]),
        ({"city": "x" * 65}, ["address.city"]),
        ({"country_code": "XX"}, ["address.country_code"]),
        ({"country_code": ""}, ["address.country_code"]),
        ({"region": "New York"}, ["address.region"]),
        ({"postal_code": "1218"}, ["address.postal_code"]),
    ],
)
def test_addresses(changes: dict[str, str], wrong: list[str]) -> None:
    names = ("line1", "line2", "city", "region", "postal_code", "country_code")
    check = Violations()
    values = {name: getattr(ADDRESS, name) for name in names} | changes
    personal.check_address("address", values, check)
    assert _errors(check) == wrong


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> PersonKeys:
    folder: Path = tmp_path_factory.mktemp("secrets")
    return person_keys(FileSecrets(folder), ManualClock())


TEXTS = st.text(max_size=30)


@given(name=TEXTS, email=TEXTS, line1=TEXTS, tax_id=TEXTS)
def test_what_was_sealed_opens_again(
    keys: PersonKeys, name: str, email: str, line1: str, tax_id: str
) -> None:
    address = Address(
        line1=line1, line2="", city=name, region="", postal_code="", country_code="DE"
    )
    country = "DE" if tax_id else ""
    value = Personal(
        name=name, email=email, address=address, tax_id=tax_id, tax_country_code=country
    )
    key = keys.data_key(keys.new_key("usr_1")[0], "usr_1")
    assert opened(sealed(value, key), key) == value


def test_a_field_opens_in_its_place_only(keys: PersonKeys) -> None:
    """Goal: ciphertexts cannot be moved: not to another person, nor to another field."""
    wrapped = keys.new_key("usr_1")[0]
    key = keys.data_key(wrapped, "usr_1")
    columns = sealed(ADA, key)
    for name in SEALED:
        kept = columns[name]
        assert kept is not None
        for field, other in ((name, DataKey(keys.unwrap(wrapped, "usr_1"), "usr_2")), ("x", key)):
            with pytest.raises(ValueError, match="another place, or changed"):
                other.open(field, kept)
        with pytest.raises(ValueError, match="another place, or changed"):
            key.open(name, kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(ValueError, match="another place, or changed"):
        keys.unwrap(wrapped, "usr_2")


def test_hashes_say_nothing_without_their_key(keys: PersonKeys, tmp_path: Path) -> None:
    other = person_keys(FileSecrets(tmp_path), ManualClock())
    assert keys.hash_of("email", "Ada@Example.com") == keys.hash_of("email", "ada@example.com ")
    assert keys.hash_of("tax_id", "123456789") == keys.hash_of("tax_id", "123-45-6789")
    assert keys.hash_of("phone", "1") != keys.hash_of("email", "1")
    assert keys.hash_of("phone", "1") != other.hash_of("phone", "1")
    assert keys.hashes_of("phone", "1") == [keys.hash_of("phone", "1")]
