"""Why a benchmark ends without a result."""

from __future__ import annotations


class BenchFailedError(Exception):
    """Something that the benchmark needs did not work; the message says what."""


class GeneratorFailedError(BenchFailedError):
    """The generator's process ended without a result."""


class BooksError(BenchFailedError):
    """What was answered and what the ledger has do not agree."""
