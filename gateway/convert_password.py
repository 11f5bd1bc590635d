"""Password resets on the wire."""

from __future__ import annotations

from typing import Any

from gateway.convert_session import email_of, key_of
from gateway.credential import normalized_password, password_violation
from gateway.password_reset import NewPassword
from gateway.resets import digest_of
from gateway.rings import Rings
from holdfast.gateway.v1 import password_service_pb2 as pb
from runtime.request_records import RequestKey
from runtime.validate import Violations

_TOKEN_LENGTH_MAX = 128


def request_reset(
    request: pb.RequestPasswordResetRequest, context: Any, rings: Rings
) -> tuple[RequestKey, str]:
    """Checks RequestPasswordResetRequest; returns the address. Its request ids are unique for it:
    nobody has signed in.
    """
    violations = Violations()
    email = email_of(request.email, violations)
    principal = f"anonymous:{rings.emails.mac(email.encode())[1].hex()}"
    key = key_of(request, context, violations, rings=rings, principal=principal)
    violations.raise_if_any()
    return key, email


def reset(
    request: pb.ResetPasswordRequest, context: Any, rings: Rings
) -> tuple[RequestKey, NewPassword]:
    """Checks ResetPasswordRequest."""
    violations = Violations()
    violations.text("token", request.token, limit=_TOKEN_LENGTH_MAX, required=True)
    password = normalized_password(request.new_password)
    if wrong := password_violation(password):
        violations.add("new_password", wrong)
    principal = f"reset:{digest_of(request.token).hex()}"
    key = key_of(request, context, violations, rings=rings, principal=principal)
    violations.raise_if_any()
    return key, NewPassword(token=request.token, password=password)
