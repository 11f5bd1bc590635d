"""Frozen records that cost nothing to make: mypy refuses to change one, Python does not look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(cls: type[T]) -> type[T]:
    """As `@dataclass(frozen=True, slots=True, kw_only=True)`, for what every authorization makes
    several of: a frozen dataclass takes four times as long to fill.
    """
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(cls)
