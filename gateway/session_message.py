"""A session as the contract says it: in answers, and in the audit log."""

from __future__ import annotations

from gateway.session import Session
from holdfast.gateway.v1 import session_pb2
from runtime.validate import timestamp


def session_message(value: Session, *, current: str = "") -> session_pb2.Session:
    """The session on the wire."""
    return session_pb2.Session(
        id=value.id,
        user_id=value.user_id,
        roles=value.roles,
        company_id=value.company_id,
        client=value.client,
        address=value.address,
        create_time=timestamp(value.create_ms),
        use_time=timestamp(value.use_ms),
        expire_time=timestamp(value.expire_ms),
        mfa_time=timestamp(value.mfa_ms) if value.mfa_ms else None,
        current=value.id == current,
    )
