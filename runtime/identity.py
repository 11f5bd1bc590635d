"""Who calls. Envoy states exactly one identity per call; a service refuses none or two.

The listeners strip `x-auth-*` from what callers send and set one of:

- `x-auth-subject` (edge): the token's subject or an API key's owner, with `x-auth-roles`. A token's
  other claims come with it: `x-auth-company` (the one that a manager runs), `x-auth-session`,
  `x-auth-mfa-time` (when a second factor was last shown, seconds since 1970); with an API key,
  `x-auth-scopes`;
- `x-auth-spiffe` (network, mesh): the SPIFFE id of the client certificate.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from functools import lru_cache

from runtime.errors import Unauthenticated
from runtime.record import record
from runtime.request_id import IDEMPOTENCY_KEY_HEADER
from runtime.trace import TRACE_HEADER, TRACE_LENGTH_MAX, bound_trace_id

SUBJECT_HEADER = "x-auth-subject"
SPIFFE_HEADER = "x-auth-spiffe"
ROLES_HEADER = "x-auth-roles"
COMPANY_HEADER = "x-auth-company"
SESSION_HEADER = "x-auth-session"
MFA_TIME_HEADER = "x-auth-mfa-time"
SCOPES_HEADER = "x-auth-scopes"

#: The address that a call of the edge comes from; set by Envoy, which drops what callers send.
ADDRESS_HEADER = "x-auth-address"
#: Of other listeners. Envoy appends the address that it was called from; what stands before it is
#: anybody's claim.
FORWARDED_HEADER = "x-forwarded-for"

_CLAIMS = frozenset({COMPANY_HEADER, SESSION_HEADER, MFA_TIME_HEADER, SCOPES_HEADER})
_READ = _CLAIMS | {
    SUBJECT_HEADER,
    SPIFFE_HEADER,
    ROLES_HEADER,
    IDEMPOTENCY_KEY_HEADER,
    TRACE_HEADER,
    ADDRESS_HEADER,
    FORWARDED_HEADER,
}
_PRINCIPAL_LENGTH_MAX = 256
_PEER_LENGTH_MAX = 64
_SPIFFE = "spiffe://"


@record
class Claims:
    """What else Envoy knows of a caller with a token or an API key."""

    #: Company that a manager runs, a `co_` id; '': none.
    company_id: str = ""
    #: Session that the token belongs to; '': none.
    session_id: str = ""
    #: When the caller last showed a second factor; 0: never.
    mfa_time_s: int = 0
    #: What an API key may be used for; None: this is no API key.
    scopes: frozenset[str] | None = None


NO_CLAIMS = Claims()


@record
class Identity:
    """The caller: a stable principal, which key rotation does not change, and its roles."""

    principal: str
    roles: frozenset[str] = frozenset()
    #: The call's `idempotency-key` metadata (runtime.request_id), read on the way.
    idempotency_keys: tuple[tuple[str, str | bytes], ...] = ()
    claims: Claims = NO_CLAIMS
    #: The call's `x-request-id` (runtime.trace).
    trace_id: str = ""
    #: The call's `x-forwarded-for`, as it came.
    forwarded_for: str = ""
    #: The call's `x-auth-address`: of the edge only.
    address: str = ""

    #: True: the method was found to be about what is the caller's (runtime.ownership).
    owns: bool = False

    @property
    def peer(self) -> str:
        """The address that the call came from, as Envoy saw it."""
        return self.address or self.forwarded_for.rpartition(",")[2].strip()[:_PEER_LENGTH_MAX]

    @property
    def is_certificate(self) -> bool:
        """True for a card network, a merchant or a service that showed its certificate."""
        return self.principal.startswith(_SPIFFE)

    @property
    def sees_everything(self) -> bool:
        """True for those who may read what other principals caused."""
        return not self.roles.isdisjoint({"admin", "auditor"})

    @property
    def only_sells(self) -> bool:
        """True for merchants with a token or an API key who call about what is not theirs."""
        return "merchant" in self.roles and not (self.owns or self.sees_everything)


#: Who calls if nobody says so.
NOBODY = Identity(principal="")

_current: ContextVar[Identity] = ContextVar("identity")
_method: ContextVar[str] = ContextVar("method")


def current_identity() -> Identity:
    """The caller of the RPC that runs now."""
    return _current.get()


def find_identity() -> Identity | None:
    """The same; None outside of an RPC, and before its caller is known."""
    return _current.get(None)


def current_trace_id() -> str:
    """What this is done for (runtime.trace); empty if nobody asked for it."""
    identity = _current.get(None)
    return bound_trace_id() or (identity.trace_id if identity else "")


def set_identity(identity: Identity, method: str) -> None:
    """Used by the interceptor only."""
    _current.set(identity)
    _method.set(method)


def call_fields() -> dict[str, str]:
    """What a log line says of the RPC that runs now; nothing outside of one."""
    identity = _current.get(None)
    fields = {"principal": identity.principal, "method": _method.get()} if identity else {}
    trace_id = current_trace_id()
    return {**fields, "trace_id": trace_id} if trace_id else fields


def identity_of(metadata: Iterable[tuple[str, str | bytes]]) -> Identity:
    """Reads the one identity that Envoy has set.

    Certificates and tokens share one space of principals: a SPIFFE id comes from a certificate
    only, and nothing else has a colon, so that no token can speak for a network or for ourselves.
    """
    found: list[str] = []
    roles = trace_id = address = forwarded_for = ""
    idempotency_keys: tuple[tuple[str, str | bytes], ...] = ()
    claims: dict[str, str] = {}
    for pair in metadata:
        key, value = pair
        if key not in _READ:
            continue
        text = value if isinstance(value, str) else ""
        if key == SPIFFE_HEADER:
            found.append(text if text.startswith(_SPIFFE) else "")
        elif key == SUBJECT_HEADER:
            found.append("" if ":" in text else text)
        elif key == ROLES_HEADER:
            roles = text
        elif key == TRACE_HEADER:
            trace_id = text[:TRACE_LENGTH_MAX]
        elif key == ADDRESS_HEADER:
            address = text[:_PEER_LENGTH_MAX]
        elif key == FORWARDED_HEADER:
            forwarded_for = text
        elif key in _CLAIMS:
            claims[key] = text
        else:
            idempotency_keys = (*idempotency_keys, pair)
    if len(found) != 1 or not _is_principal(found[0]):
        raise Unauthenticated("the call must carry exactly one identity")
    return Identity(
        principal=found[0],
        roles=_words(roles),
        idempotency_keys=idempotency_keys,
        claims=_claims_of(claims) if claims else NO_CLAIMS,
        trace_id=trace_id,
        forwarded_for=forwarded_for,
        address=address,
    )


def _claims_of(headers: dict[str, str]) -> Claims:
    mfa_time = headers.get(MFA_TIME_HEADER, "")
    scopes = headers.get(SCOPES_HEADER)
    return Claims(
        company_id=headers.get(COMPANY_HEADER, ""),
        session_id=headers.get(SESSION_HEADER, ""),
        mfa_time_s=int(mfa_time) if mfa_time.isascii() and mfa_time.isdigit() else 0,
        scopes=None if scopes is None else _words(scopes),
    )


def _is_principal(text: str) -> bool:
    return 0 < len(text) <= _PRINCIPAL_LENGTH_MAX and text.isascii() and text.isprintable()


@lru_cache(maxsize=1024)
def _words(text: str) -> frozenset[str]:
    return frozenset(text.replace(",", " ").split())
