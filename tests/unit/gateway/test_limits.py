"""The one window that a call counts in, and the one credential among its headers."""

from __future__ import annotations

import pytest

from gateway.credentials import NoCredential, credential_of
from gateway.limits import Call, Kind, Limit, Limits

LIMITS = Limits(
    caller=100,
    public=600,
    sign_in=30,
    reveal=10,
    refresh=600,
    principals={"usr_operator": 0, "usr_busy": 5000},
    kinds={"/s/Login": Kind.SIGN_IN, "/s/Refresh": Kind.REFRESH, "/s/Reveal": Kind.REVEAL},
)


@pytest.mark.parametrize(
    ("call", "limit"),
    [
        (Call(method="/s/Get", subject="usr_1"), (Kind.CALLER, "usr_1", 100)),
        (Call(method="/s/Get", subject="usr_busy"), (Kind.CALLER, "usr_busy", 5000)),
        (Call(method="/s/Get", subject="usr_operator"), None),
        (Call(method="/s/Get", subject="mer_1", key_id="key_1"), (Kind.KEY, "key_1", 100)),
        (
            Call(method="/s/Get", subject="mer_1", key_id="key_1", key_limit=7),
            (Kind.KEY, "key_1", 7),
        ),
        (Call(method="/s/Get", address="192.0.2.1"), (Kind.PUBLIC, "192.0.2.1", 600)),
        (Call(method="/s/Login", address="192.0.2.1"), (Kind.SIGN_IN, "192.0.2.1", 30)),
        # Neither a token nor another address of the same customer gives more attempts.
        (
            Call(method="/s/Login", subject="usr_busy", address="2001:db8::1"),
            (Kind.SIGN_IN, "2001:db8::/64", 30),
        ),
        (
            Call(method="/s/Login", address="2001:db8::ffff:1"),
            (Kind.SIGN_IN, "2001:db8::/64", 30),
        ),
        (Call(method="/s/Login", address="::ffff:192.0.2.1"), (Kind.SIGN_IN, "192.0.2.1", 30)),
        (Call(method="/s/Login", address=""), (Kind.SIGN_IN, "unknown", 30)),
        (
            Call(method="/s/Refresh", subject="usr_busy", address="2001:db8::1"),
            (Kind.REFRESH, "2001:db8::/64", 600),
        ),
        (Call(method="/s/Reveal", subject="usr_busy"), (Kind.REVEAL, "usr_busy", 10)),
    ],
)
def test_a_call_counts_in_one_window(call: Call, limit: tuple[Kind, str, int] | None) -> None:
    expected = limit and Limit(kind=limit[0], whose=limit[1], per_minute=limit[2])
    assert LIMITS.limit_of(call) == expected


@pytest.mark.parametrize(
    ("headers", "credential"),
    [
        ({"x-api-key": "hf_1"}, "hf_1"),
        ({"authorization": "Bearer hf_1"}, "hf_1"),
        ({"authorization": "bearer  hf_1"}, "hf_1"),
        ({"x-api-key": "hf_1", "authorization": "Bearer hf_1"}, NoCredential.AMBIGUOUS),
        ({"x-api-key": "", "authorization": ""}, NoCredential.AMBIGUOUS),
        ({"x-api-key": " "}, NoCredential.MISSING),
        ({"authorization": "Bearer "}, NoCredential.MISSING),
        ({"authorization": "Basic aGY6"}, NoCredential.MISSING),
        ({}, NoCredential.MISSING),
    ],
)
def test_there_is_one_credential(headers: dict[str, str], credential: str | NoCredential) -> None:
    assert credential_of(headers) == credential
