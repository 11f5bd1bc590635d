"""What an email address looks like: one rule for who signs in and for who is known. Pure."""

from __future__ import annotations

import re

LENGTH_MAX = 254
_LOCAL_LENGTH_MAX = 64

_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])")


def is_email_address(text: str) -> bool:
    """True for `local@domain` with the domain in lower case; quoted local parts are none."""
    local, _, domain = text.rpartition("@")
    return (
        len(text) <= LENGTH_MAX
        and len(local) <= _LOCAL_LENGTH_MAX
        and _LOCAL.fullmatch(local) is not None
        and _DOMAIN.fullmatch(domain) is not None
    )
