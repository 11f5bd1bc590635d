"""Checks of what people say about themselves. No error repeats it. Pure but for `phonenumbers`."""

from __future__ import annotations

import re
from datetime import date

import phonenumbers

from runtime.email_address import is_email_address
from runtime.validate import Violations

NAME_LENGTH = 128
AGE_MIN, AGE_MAX = 18, 130
ADDRESS_LENGTHS = {"line1": 128, "line2": 128, "city": 64, "region": 32, "postal_code": 16}

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SSN = re.compile(r"(?P<area>[0-9]{3})-?(?P<group>[0-9]{2})-?(?P<serial>[0-9]{4})")
_TAX_ID = re.compile(r"[A-Z0-9][A-Z0-9./-]{2,18}[A-Z0-9]")
_US_STATE = re.compile(r"[A-Z]{2}")
_US_ZIP = re.compile(r"[0-9]{5}(-[0-9]{4})?")
#: Groups of an ITIN, which begins with 9.
_ITIN_GROUPS = (range(50, 66), range(70, 89), range(90, 93), range(94, 100))
#: ISO 3166-1 alpha-2, as the library of phone numbers knows them, and those without phones.
COUNTRIES = frozenset(phonenumbers.SUPPORTED_REGIONS) | {"AQ", "BV", "GS", "HM", "PN", "TF", "UM"}


def email_of(field: str, value: str, check: Violations) -> str:
    """The address as it is kept: its domain in lower case."""
    local, _, domain = value.strip().rpartition("@")
    address = f"{local}@{domain.lower()}"
    if not is_email_address(address):
        check.add(field, "must be an email address, e.g. ada@example.com")
    return address


def phone_of(field: str, value: str, check: Violations) -> str:
    """A number in E.164 that can exist."""
    if _E164.fullmatch(value):
        try:
            if phonenumbers.is_possible_number(phonenumbers.parse(value)):
                return value
        except phonenumbers.NumberParseException:
            pass
    check.add(field, "must be a phone number in E.164 that can exist, e.g. +12125550123")
    return ""


def birth_date_of(field: str, value: str, today: date, check: Violations) -> str:
    """A day that was, of somebody who may have a credit account."""
    try:
        if not _DATE.fullmatch(value):
            raise ValueError
        born = date.fromisoformat(value)
    except ValueError:
        check.add(field, "must be a day, YYYY-MM-DD")
        return ""
    age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    if not AGE_MIN <= age <= AGE_MAX:
        check.add(field, f"must be {AGE_MIN} to {AGE_MAX} years ago")
    return value


def country_of(field: str, value: str, check: Violations) -> str:
    """A country that exists."""
    if value not in COUNTRIES:
        check.add(field, "must be a country, ISO 3166-1 alpha-2, e.g. US")
    return value


def tax_id_of(field: str, value: str, country_code: str, check: Violations) -> str:
    """A tax number as it is kept: in the USA with hyphens."""
    text = value.strip().upper()
    if country_code != "US":
        if not _TAX_ID.fullmatch(text):
            check.add(field, "must be 4 to 20 letters, digits, . / and -")
        return text
    found = _SSN.fullmatch(text)
    if found is None or not _is_us_number(found["area"], found["group"], found["serial"]):
        check.add(field, "must be an SSN or ITIN, nine digits, e.g. 123-45-6789")
        return ""
    return f"{found['area']}-{found['group']}-{found['serial']}"


def check_address(field: str, values: dict[str, str], check: Violations) -> None:
    """Lengths, what is required, and how the USA write state and ZIP code."""
    for name, limit in ADDRESS_LENGTHS.items():
        required = name in ("line1", "city")
        check.text(f"{field}.{name}", values[name], limit=limit, required=required)
    country_of(f"{field}.country_code", values["country_code"], check)
    if values["country_code"] == "US":
        if not _US_STATE.fullmatch(values["region"]):
            check.add(f"{field}.region", "must be a state of two letters, e.g. NY")
        if not _US_ZIP.fullmatch(values["postal_code"]):
            check.add(f"{field}.postal_code", "must be a ZIP code, 12345 or 12345-6789")


def search_email(value: str) -> str:
    """Under which an address is found, however it is written."""
    return value.strip().casefold()


def search_tax_id(value: str) -> str:
    """Under which a tax number is found, however it is written."""
    return re.sub(r"[^A-Z0-9]", "", value.upper())


def _is_us_number(area: str, group: str, serial: str) -> bool:
    if serial == "0000" or group == "00" or area in ("000", "666"):
        return False
    return area < "900" or any(int(group) in one for one in _ITIN_GROUPS)
