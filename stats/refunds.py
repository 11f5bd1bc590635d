"""Which refunds of a purchase a reversal takes back. No I/O, no clock, no grpc.

A reversal names the purchase, and not which of its refunds it takes back: it is the one of which
that much is left, else the last ones. They are remembered by number, and how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Refunds of one purchase that are looked at, the last ones.
LOOKED_AT_MAX = 100


def count_name(authorization_id: str) -> str:
    """Under which it is remembered how many refunds a purchase has."""
    return f"{authorization_id}#refunds"


def name_of(authorization_id: str, number: int) -> str:
    """Under which a refund of a purchase is remembered."""
    return f"{authorization_id}#refund{number}"


def names_of(authorization_id: str, count: int) -> list[str]:
    """The refunds that are looked at, the last one first."""
    last = max(count - LOOKED_AT_MAX, 0)
    return [name_of(authorization_id, number) for number in range(count, last, -1)]


def taken_back(left_minor: Sequence[int], amount_minor: int) -> list[tuple[int, int]]:
    """Of which refunds how much is taken back, given what is left of each, the last one first. What
    exceeds them all is of none.
    """
    if amount_minor in left_minor:
        return [(left_minor.index(amount_minor), amount_minor)]
    found, rest = list[tuple[int, int]](), amount_minor
    for number, left in enumerate(left_minor):
        part = min(rest, left)
        if part > 0:
            found.append((number, part))
            rest -= part
    return found
