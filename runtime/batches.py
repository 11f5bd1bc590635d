"""Many things, some at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")


def batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """All of them in their order, at most `size` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))
