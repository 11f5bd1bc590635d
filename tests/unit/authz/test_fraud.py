"""Thresholds of the checks against fraud, what counts as a guess, lists that are remembered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authz import fraud, scripts
from authz.controls import Place
from authz.convert_controls import rules_of
from authz.decision import PRECEDENCE, RULES, Reason
from authz.fraud import (
    DEFAULT_CHECKS,
    GUESSES,
    NO_CHECKS,
    UNCHECKED,
    CardTesting,
    FirstAbroad,
    FraudChecks,
    merchant_print,
    remembered,
    thresholds_of,
)
from holdfast.type.v1 import default_rules_pb2 as pb

LUA = (Path(scripts.__file__).parent / "lua" / "include" / "recent.lua").read_text()
ABROAD = Place(country_code="FR")
PRINT = merchant_print("m-1\nshop")


def test_the_script_has_the_same_numbers() -> None:
    """What counts as a guess, and how much is remembered, is stated in both languages."""
    (guesses,) = re.findall(r"GUESSES = ' ([0-9 ]+) '", LUA)
    assert {int(one) for one in guesses.split()} == GUESSES
    names = ("RECENT_MS", "DECLINES_MAX", "BOUGHT_MAX", "ABROAD_MAX")
    found = re.findall(rf"local {', '.join(names)} = (\d+), (\d+), (\d+), (\d+)", LUA)
    assert found == [tuple(str(getattr(fraud, name)) for name in names)]


def test_guesses_say_nothing_of_funds_or_states() -> None:
    names = {Reason(number).name for number in GUESSES}
    assert names == {
        "EXPIRY_MISMATCH", "CVV_MISMATCH", "AVS_MISMATCH", "PIN_INCORRECT", "CRYPTOGRAM_INVALID",
        "MCC_NOT_ALLOWED", "MERCHANT_NOT_ALLOWED", "COUNTRY_NOT_ALLOWED", "CHANNEL_NOT_ALLOWED",
    }  # fmt: skip
    funds = (Reason.PER_TRANSACTION_LIMIT, Reason.SPEND_LIMIT_EXCEEDED, Reason.INSUFFICIENT_CREDIT)
    assert not {int(reason) for reason in funds} & GUESSES
    assert Reason.SUSPECTED_FRAUD not in GUESSES
    assert set(RULES.values()) <= set(PRECEDENCE)


@pytest.mark.parametrize(
    ("checks", "place", "lines"),
    [
        (DEFAULT_CHECKS, ABROAD, ("p/card_testing,8,600000", "", "")),
        (NO_CHECKS, ABROAD, ("", "", "")),
        (
            FraudChecks(first_abroad=FirstAbroad(home_country="US", wait_ms=5)),
            ABROAD,
            ("", "p/first_abroad,FR,5", ""),
        ),
        (FraudChecks(first_abroad=FirstAbroad(home_country="FR")), ABROAD, ("", "", "")),
        (FraudChecks(first_abroad=FirstAbroad(home_country="US")), Place(), ("", "", "")),
        (FraudChecks(repetition_ms=7), None, ("", "", f"p/repetition,7,{PRINT}")),
    ],
)
def test_thresholds(checks: FraudChecks, place: Place | None, lines: tuple[str, ...]) -> None:
    assert thresholds_of((("p", checks),), place, "m-1\nshop") == "\n".join(lines)


def test_of_two_the_stricter_counts() -> None:
    """Either number of declines may be the stricter one, so both are looked at."""
    low, high = (
        FraudChecks(
            card_testing=CardTesting(declines=number, window_ms=number),
            first_abroad=FirstAbroad(home_country="US", wait_ms=number),
            repetition_ms=number,
        )
        for number in (5, 9)
    )
    for checks, longest in (((low, high), "c"), ((high, low), "p")):
        testing, abroad, repetition = thresholds_of(
            (("p", checks[0]), ("c", checks[1])), ABROAD, "m-1\nshop"
        ).split("\n")
        assert len(testing.split(";")) == 2
        assert abroad == f"{longest}/first_abroad,FR,9"
        assert repetition == f"{longest}/repetition,9,{PRINT}"
    assert UNCHECKED.split("\n") == ["", "", ""]


def test_checks_from_the_wire() -> None:
    """Card testing is on in a programme unless it says no; all else is off until it is on."""

    def found(*, of_programme: bool, **checks: object) -> FraudChecks:
        message = pb.FraudChecks(**checks)  # type: ignore[arg-type]
        raw = pb.DefaultRules(fraud_checks=message).SerializeToString()
        return rules_of(1, raw, "USD", of_programme=of_programme).fraud

    assert found(of_programme=True) == DEFAULT_CHECKS
    assert found(of_programme=False) == NO_CHECKS
    off = pb.CardTestingCheck(disabled=True)
    assert found(of_programme=True, card_testing=off) == NO_CHECKS
    strict = pb.CardTestingCheck(declines=3)
    strict.window.FromSeconds(60)
    abroad = pb.FirstAbroadCheck(home_country="US")
    checks = found(
        of_programme=False,
        card_testing=strict,
        first_abroad=abroad,
        repetition=pb.RepetitionCheck(),
    )
    assert checks == FraudChecks(
        card_testing=CardTesting(declines=3, window_ms=60_000),
        first_abroad=FirstAbroad(home_country="US", wait_ms=600_000),
        repetition_ms=60_000,
    )
    abroad.wait.FromSeconds(0)
    changed = found(of_programme=False, first_abroad=abroad).first_abroad
    assert changed == FirstAbroad(home_country="US", wait_ms=0)


def test_lists_are_bounded_in_number_and_age() -> None:
    kept = ""
    for now_ms in range(10, 60, 10):
        kept = remembered(f"x,{now_ms}", kept, most=3, now_ms=now_ms, age_ms=25)
    assert kept == "x,50;x,40;x,30"
    assert remembered("x,70", kept, most=3, now_ms=70, age_ms=25) == "x,70;x,50"
    assert remembered("x,999", kept, most=9, now_ms=999) == "x,999;x,50;x,40;x,30"
