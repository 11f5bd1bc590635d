"""The contract as OpenAPI 3.1: what JSON clients meet at the edge."""

from __future__ import annotations

from runtime.openapi.document import document

__all__ = ["document"]
