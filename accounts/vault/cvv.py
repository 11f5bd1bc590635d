"""Card verification values. No I/O, no clock, no grpc.

A CVV2 is derived, never stored: from number, expiry and service code under a key of the issuer. The
networks' own derivation is two keys of DES; ours is HMAC-SHA-256 in its place, reduced to three
digits. Nobody but the issuer derives or checks the value, so no one else needs the algorithm.
"""

from __future__ import annotations

import hashlib
import hmac

#: Service code of a CVV2, the value that is printed or shown (CVV1 and iCVV have others).
SERVICE_CODE = "000"
CVV_DIGITS = 3


def derive(key: bytes, *, pan: str, expiry_month: int, expiry_year: int) -> str:
    """The three digits of a card; another expiry gives others."""
    text = f"cvv2|{pan}|{expiry_year:04d}-{expiry_month:02d}|{SERVICE_CODE}"
    drawn = int.from_bytes(hmac.digest(key, text.encode(), hashlib.sha256), "big")
    return f"{drawn % 10**CVV_DIGITS:0{CVV_DIGITS}d}"
