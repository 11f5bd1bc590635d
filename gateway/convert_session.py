"""Between the wire and sessions: checks requests field by field, makes answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from google.protobuf.message import Message

from gateway.addresses import SetEmail
from gateway.credential import (
    access_violation,
    normalized_email,
    normalized_password,
    password_violation,
)
from gateway.registration import NewUser, SetMembership, SetSignIn
from gateway.requests import keyed
from gateway.rings import Rings
from gateway.session import Session
from gateway.sign_in import Begun, Client
from holdfast.gateway.v1 import oidc_service_pb2 as oidc_pb
from holdfast.gateway.v1 import second_factor_service_pb2 as factor_pb
from holdfast.gateway.v1 import session_pb2
from holdfast.gateway.v1 import session_service_pb2 as pb
from holdfast.gateway.v1 import sign_in_email_pb2 as email_pb
from runtime import ids
from runtime.errors import FailedPrecondition
from runtime.identity import ADDRESS_HEADER, SESSION_HEADER, current_identity
from runtime.paging import Page, Position, page_of
from runtime.request_id import content_of, request_id_of
from runtime.request_records import RequestKey
from runtime.tokens import TOKEN_LIFETIME_S
from runtime.validate import Violations

#: What names the session that asks.
CURRENT = "current"

_SIGN_INS: dict[int, object] = dict(pb.SetSignInRequest.SignIn.DESCRIPTOR.values_by_number)
_CLIENT_LENGTH_MAX = 128
_ADDRESS_LENGTH_MAX = 64
_TOKEN_LENGTH_MAX = 256
_CODE_LENGTH_MAX = 32
_NAME_LENGTH_MAX = 128
_PASSWORD_LENGTH_MAX = 1024

CodeRequest: TypeAlias = (
    factor_pb.ConfirmSecondFactorRequest
    | factor_pb.VerifySecondFactorRequest
    | factor_pb.RemoveSecondFactorRequest
)
#: Asked of those who are more than somebody with a token.
ProvenRequest: TypeAlias = (
    factor_pb.EnrollSecondFactorRequest
    | oidc_pb.LinkOidcIdentityRequest
    | oidc_pb.UnlinkOidcIdentityRequest
)
Request = TypeVar("Request", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginCommand:
    """A checked LoginRequest."""

    request_id: str
    email: str
    password: str = field(repr=False)
    code: str = field(repr=False)


def register(request: pb.RegisterRequest, context: Any, rings: Rings) -> tuple[RequestKey, NewUser]:
    """Checks RegisterRequest. Its request ids are unique for the address: nobody has signed in."""
    violations = Violations()
    email = email_of(request.email, violations)
    password = normalized_password(request.password)
    if wrong := password_violation(password, email=email):
        violations.add("password", wrong)
    violations.text("name", request.name, limit=_NAME_LENGTH_MAX, required=True)
    principal = f"anonymous:{rings.emails.mac(email.encode())[1].hex()}"
    key = key_of(request, context, violations, rings=rings, principal=principal)
    violations.raise_if_any()
    return key, NewUser(email=email, password=password, name=request.name)


def login(request: pb.LoginRequest, context: Any) -> LoginCommand:
    """Checks LoginRequest. A password is only measured: what is wrong with it is not said."""
    violations = Violations()
    request_id = request_id_of(request.request_id, context.invocation_metadata(), violations)
    email = email_of(request.email, violations)
    _some_password("password", request.password, violations)
    violations.text("code", request.code, limit=_CODE_LENGTH_MAX)
    violations.raise_if_any()
    return LoginCommand(
        request_id=request_id,
        email=email,
        password=normalized_password(request.password),
        code=request.code,
    )


def refresh(request: pb.RefreshRequest, context: Any) -> tuple[str, str]:
    """Checks RefreshRequest; returns request id and token."""
    violations = Violations()
    request_id = request_id_of(request.request_id, context.invocation_metadata(), violations)
    violations.text("refresh_token", request.refresh_token, limit=_TOKEN_LENGTH_MAX, required=True)
    violations.raise_if_any()
    return request_id, request.refresh_token


def change_password(
    request: pb.ChangePasswordRequest, context: Any, rings: Rings
) -> tuple[RequestKey, tuple[str, str]]:
    """Checks ChangePasswordRequest; returns the old and the new password."""
    violations = Violations()
    key = key_of(request, context, violations, rings=rings)
    _some_password("password", request.password, violations)
    new = normalized_password(request.new_password)
    if wrong := password_violation(new):
        violations.add("new_password", wrong)
    violations.raise_if_any()
    return key, (normalized_password(request.password), new)


def set_access(
    request: pb.SetUserAccessRequest, context: Any, rings: Rings
) -> tuple[RequestKey, tuple[str, ...]]:
    """Checks SetUserAccessRequest; returns the roles, each once."""
    violations = Violations()
    key = key_of(request, context, violations, rings=rings)
    violations.id("user_id", request.user_id, ids.USER)
    violations.id("company_id", request.company_id, ids.COMPANY, required=False)
    roles = tuple(dict.fromkeys(request.roles))
    if wrong := access_violation(roles, request.company_id, request.merchant_id):
        violations.add(*wrong)
    violations.raise_if_any()
    return key, roles


def set_sign_in(request: pb.SetSignInRequest) -> SetSignIn:
    """Checks SetSignInRequest."""
    violations = Violations()
    violations.id("user_id", request.user_id, ids.USER)
    if request.version < 1:
        violations.add("version", "must be at least 1")
    violations.enum("sign_in", request.sign_in, _SIGN_INS, required=True)
    violations.raise_if_any()
    return SetSignIn(
        user_id=request.user_id,
        version=request.version,
        allowed=request.sign_in == pb.SetSignInRequest.SIGN_IN_ALLOWED,
        forgotten=request.sign_in == pb.SetSignInRequest.SIGN_IN_FORGOTTEN,
    )


def set_email(request: email_pb.SetSignInEmailRequest) -> SetEmail:
    """Checks SetSignInEmailRequest."""
    violations = Violations()
    violations.id("user_id", request.user_id, ids.USER)
    if request.version < 1:
        violations.add("version", "must be at least 1")
    email = email_of(request.email, violations)
    violations.raise_if_any()
    return SetEmail(
        user_id=request.user_id,
        version=request.version,
        email=email,
        validate_only=request.validate_only,
        reserve=request.reserve,
    )


def set_membership(request: pb.SetMembershipRequest) -> SetMembership:
    """Checks SetMembershipRequest."""
    violations = Violations()
    violations.id("user_id", request.user_id, ids.USER)
    violations.id("company_id", request.company_id, ids.COMPANY)
    if request.version < 1:
        violations.add("version", "must be at least 1")
    violations.raise_if_any()
    return SetMembership(
        user_id=request.user_id,
        company_id=request.company_id,
        version=request.version,
        manages=request.manages,
    )


def code(request: CodeRequest, context: Any, rings: Rings) -> RequestKey:
    """Checks the requests that show a code of a second factor."""
    violations = Violations()
    key = key_of(request, context, violations, rings=rings)
    violations.text("code", request.code, limit=_CODE_LENGTH_MAX, required=True)
    violations.raise_if_any()
    return key


def enroll(request: factor_pb.EnrollSecondFactorRequest, context: Any) -> str:
    """Checks EnrollSecondFactorRequest; returns the password, if there is one."""
    violations = Violations()
    request_id_of(request.request_id, context.invocation_metadata(), violations)
    password = given_password(request, violations)
    violations.raise_if_any()
    return password


def reset_factor(
    request: factor_pb.ResetSecondFactorRequest, context: Any, rings: Rings
) -> RequestKey:
    """Checks ResetSecondFactorRequest."""
    violations = Violations()
    key = key_of(request, context, violations, rings=rings)
    violations.id("user_id", request.user_id, ids.USER)
    violations.raise_if_any()
    return key


def request_id(
    request: pb.LogoutRequest | pb.RevokeSessionRequest,
    context: Any,
) -> None:
    """Checks the request id of what may be repeated without one."""
    violations = Violations()
    request_id_of(request.request_id, context.invocation_metadata(), violations)
    if isinstance(request, pb.RevokeSessionRequest):
        violations.id("session_id", request.session_id, ids.SESSION)
    violations.raise_if_any()


def session_id(request: pb.GetSessionRequest, context: Any) -> str:
    """Checks GetSessionRequest; `current` becomes the caller's session."""
    if request.session_id == CURRENT:
        return current_session(context)
    violations = Violations()
    violations.id("session_id", request.session_id, ids.SESSION)
    violations.raise_if_any()
    return request.session_id


def page(request: pb.ListSessionsRequest) -> Page:
    """Checks ListSessionsRequest."""
    violations = Violations()
    found = page_of(
        request.page_size, request.page_token, scope="ListSessions", violations=violations
    )
    violations.raise_if_any()
    return found


def cut(sessions: list[Session], page: Page) -> tuple[list[Session], str]:
    """The sessions of one page of a list, newest first, and the next page's token."""
    after = page.after or Position(2**62, "")
    rest = [one for one in sessions if (one.create_ms, one.id) < (after.key, after.id or "~")]
    kept, more = page.cut(rest[: page.fetch])
    return list(kept), page.token_after(Position(kept[-1].create_ms, kept[-1].id)) if more else ""


def current_session(context: Any) -> str:
    """The session of the call's token; tokens of operators have none."""
    found = session_of(context)
    if not found:
        raise FailedPrecondition("this token belongs to no session", reason="NO_SESSION")
    return found


def session_of(context: Any) -> str:
    """The same; empty if there is none."""
    found = _header(context, SESSION_HEADER)
    return found if ids.is_id(found, ids.SESSION) else ""


def client(context: Any) -> Client:
    """Where the call comes from: what Envoy has seen, and what the client says of itself."""
    address = _header(context, ADDRESS_HEADER)
    name = "".join(one for one in _header(context, "user-agent") if one.isprintable())
    return Client(address=address[:_ADDRESS_LENGTH_MAX], name=name[:_CLIENT_LENGTH_MAX])


def key_of(
    request: Request,
    context: Any,
    violations: Violations,
    *,
    rings: Rings,
    principal: str | None = None,
) -> RequestKey:
    """The request's key; its fingerprints cover everything but the id."""
    request_id = request_id_of(
        str(getattr(request, "request_id")),  # noqa: B009 - not every message has one
        context.invocation_metadata(),
        violations,
    )
    method = type(request).DESCRIPTOR.full_name
    content = method.encode() + b"\x00" + content_of(request)
    return keyed(
        rings.requests,
        content,
        principal=principal or current_identity().principal,
        request_id=request_id,
        method=method,
    )


def tokens(begun: Begun) -> session_pb2.TokenPair:
    """The tokens on the wire."""
    return session_pb2.TokenPair(
        access_token=begun.access_token,
        expires_in_s=TOKEN_LIFETIME_S,
        refresh_token=begun.refresh_token,
    )


def given_password(request: ProvenRequest, violations: Violations) -> str:
    """The password of a request that takes one from those who have one."""
    if request.password:
        _some_password("password", request.password, violations)
    return normalized_password(request.password)


def email_of(text: str, violations: Violations) -> str:
    """The one way in which an address is written."""
    email = normalized_email(text)
    if not email:
        violations.add("email", "must be an e-mail address" if text else "is required")
    return email


def _some_password(name: str, text: str, violations: Violations) -> None:
    if not text:
        violations.add(name, "is required")
    elif len(text) > _PASSWORD_LENGTH_MAX:
        violations.add(name, f"must have at most {_PASSWORD_LENGTH_MAX} characters")


def _header(context: Any, name: str) -> str:
    found = [value for key, value in context.invocation_metadata() or () if key == name]
    return found[0] if len(found) == 1 and isinstance(found[0], str) else ""
