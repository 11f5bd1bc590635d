"""What spreadsheets run when they open a file. No I/O, no clock, no grpc."""

from __future__ import annotations

import re

#: The beginning of a formula; white space before it changes nothing.
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")


def is_formula(text: str) -> bool:
    """Whether a spreadsheet might run it."""
    return _FORMULA.match(text) is not None
