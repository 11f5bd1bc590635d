from __future__ import annotations

import pytest

from gateway import totp

SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("at_s", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_the_rfc(at_s: int, code: str) -> None:
    """RFC 6238, appendix B, last six digits; good for the steps beside it, and no further."""
    step = at_s * 1000 // totp.STEP_MS
    assert totp.code_at(SECRET, step) == code
    for other in range(max(-3, 1 - step), 4):
        now_ms = (step + other) * totp.STEP_MS
        expected = step if abs(other) <= totp.SKEW_STEPS else None
        assert totp.matching_step(SECRET, code, now_ms=now_ms) == expected


def test_what_apps_read() -> None:
    uri = totp.uri_of(SECRET, issuer="holdfast.local", account="usr_1")
    assert uri == (
        "otpauth://totp/holdfast.local:usr_1"
        "?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=holdfast.local"
    )


def test_recovery_codes() -> None:
    numbers = iter(range(100))
    codes = totp.new_recovery_codes(lambda count: bytes([next(numbers)]) * count)
    assert len(set(codes)) == totp.RECOVERY_CODES
    assert all(len(totp.normalized_code(code)) == 16 for code in codes)
    assert totp.normalized_code(" AAAA-bbbb ") == "aaaabbbb"
