"""What the audit log says of a user who can sign in: what it may do, and no secret."""

from __future__ import annotations

from gateway.credential import Credential
from holdfast.gateway.v1.session_service_pb2 import SetUserAccessResponse


def access(credential: Credential | None) -> SetUserAccessResponse | None:
    """Before and after a change: roles, company, merchant, whether it may sign in."""
    if credential is None:
        return None
    return SetUserAccessResponse(
        user_id=credential.user_id,
        roles=credential.roles,
        company_id=credential.company_id,
        merchant_id=credential.merchant_id,
        disabled=credential.disabled,
    )
