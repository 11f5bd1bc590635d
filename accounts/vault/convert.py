"""Requests of the vault, checked field by field. No error ever repeats a number."""

from __future__ import annotations

from typing import Any

from accounts.vault.pan import is_pan
from accounts.vault.store import Reveal
from holdfast.accounts.v1 import vault_service_pb2 as pb
from runtime import ids
from runtime.identity import Identity
from runtime.request_id import request_id_of
from runtime.validate import Violations

REASON_LENGTH = 256


def reveal(request: pb.RevealCardRequest, identity: Identity, context: Any) -> Reveal:
    """Checks RevealCardRequest."""
    violations = Violations()
    request_id = request_id_of(request.request_id, context.invocation_metadata(), violations)
    violations.id("card_id", request.card_id, ids.CARD)
    violations.text(
        "reason", request.reason, limit=REASON_LENGTH, required="admin" in identity.roles
    )
    violations.raise_if_any()
    return Reveal(
        principal=identity.principal,
        request_id=request_id,
        card_id=request.card_id,
        reason=request.reason,
    )


def pan(request: pb.ResolvePanRequest) -> str:
    """Checks ResolvePanRequest."""
    violations = Violations()
    if not is_pan(request.pan):
        violations.add("pan", "must be 12 to 19 digits with a right check digit")
    violations.raise_if_any()
    return request.pan
