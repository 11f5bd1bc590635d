"""What tests that read our own sources share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def undisturbed() -> Iterator[None]:
    """Collects no garbage meanwhile: what destructors of earlier tests do amid `ast.parse` makes it
    fail ("AST constructor recursion depth mismatch") before Python 3.11.5 (python/cpython#106905).
    """
    gc.disable()
    yield
    gc.enable()
