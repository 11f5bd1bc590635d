"""Amounts are integers in minor units, below 2^53 so that Lua's doubles hold them exactly."""

from __future__ import annotations

from decimal import Decimal

#: First amount that is too large: Lua numbers are doubles.
AMOUNT_MINOR_LIMIT = 2**53

_EXPONENT_2 = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF
CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL
HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP
MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD
SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS
VED VES WST XCD YER ZAR ZMW ZWG
"""
_EXPONENT_0 = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_EXPONENT_3 = "BHD IQD JOD KWD LYD OMR TND"

#: ISO 4217 alphabetic code → number of decimals of the minor unit.
EXPONENTS: dict[str, int] = {
    **dict.fromkeys(_EXPONENT_2.split(), 2),
    **dict.fromkeys(_EXPONENT_0.split(), 0),
    **dict.fromkeys(_EXPONENT_3.split(), 3),
    "CLF": 4,
}


def is_currency(code: str) -> bool:
    """True for an ISO 4217 code of a currency that people pay with."""
    return code in EXPONENTS


def decimal_minor(amount_minor: int, currency_code: str) -> str:
    """`123456, "USD"` → `1234.56`; for machines."""
    exponent = EXPONENTS[currency_code]
    return f"{Decimal(amount_minor).scaleb(-exponent):.{exponent}f}"


def format_minor(amount_minor: int, currency_code: str) -> str:
    """`123456, "USD"` → `1,234.56 USD`; for people, never for machines."""
    exponent = EXPONENTS[currency_code]
    return f"{Decimal(amount_minor).scaleb(-exponent):,.{exponent}f} {currency_code}"
