"""What stands in the cells of files that spreadsheets open. No I/O, no clock, no grpc."""

from __future__ import annotations

import re

from runtime.formulas import is_formula

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff\ud800-\udfff]+")


def plain(text: str) -> str:
    """A text on one line, without what no file should have."""
    return _CONTROL.sub(" ", text)


def quiet(text: str) -> str:
    """A text that no spreadsheet runs: what looks like a formula begins with an apostrophe."""
    found = plain(text)
    return f"'{found}" if is_formula(text) or is_formula(found) else found
