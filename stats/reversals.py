"""How much of an authorization counts as reversed. No I/O, no clock, no grpc.

A reversal counts with what it gives back: of 80 on an authorization of 50 that is 50. When the
authorization is raised later, it gives back more of it, and less when it is lowered. So it is
remembered how much has counted, and what the ledger says then makes the difference. Once it has
expired, nothing is held, and what it is raised by is not given back by reversals.
"""

from __future__ import annotations

from stats.movement import Movement

#: They change what is approved of an authorization that is known.
_CHANGES = frozenset({"ADVICE", "INCREMENT"})
_GIVE_BACK = frozenset({"REVERSAL", "EXPIRY"})


def name_of(authorization_id: str) -> str:
    """Under which it is remembered how much of an authorization counts as reversed."""
    return f"{authorization_id}#reversed"


def matter_to(one: Movement) -> bool:
    """Whether reversals of its authorization may have to do with a movement."""
    if not one.authorization_id:
        return False
    return one.type in _CHANGES or one.type in _GIVE_BACK or one.reversed_minor > 0
