"""Envoy's ext_authz service: who calls with an API key, and whether a token's session lives.

It is asked behind the transcoder, so the path is the gRPC path for JSON, too. With an API key it
states the one identity of the call; the credential itself goes no further. What it refuses is told
as an error of ours.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct

from envoy_wire import external_auth_pb2 as pb
from envoy_wire import headers_pb2
from envoy_wire.external_auth_pb2_grpc import AuthorizationServicer
from gateway import credentials
from gateway.api_key import ApiKey
from gateway.api_key_check import ApiKeyCheck
from gateway.credentials import NoCredential, credential_of
from gateway.usage import API_KEY_ID_HEADER
from runtime.error_text import header_of, json_of
from runtime.errors import HoldfastError, Unauthenticated, status_of
from runtime.identity import SESSION_HEADER
from runtime.log import debugging, get_logger
from runtime.trace import TRACE_HEADER, tracing

#: What everybody is who calls with a key.
ROLE = "merchant"

#: Raises what the caller is told unless a session lives: (session id, gRPC path).
CheckSession = Callable[[str, str], Awaitable[None]]

#: Set by the transcoder, which Envoy then sends what we say as it is.
_JSON_HEADER = "x-envoy-original-path"
_OVERWRITE = headers_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
_REMOVED = (credentials.API_KEY_HEADER, credentials.AUTHORIZATION_HEADER)
#: What a caller is told: message, reason.
_REFUSALS = {
    NoCredential.AMBIGUOUS: (
        "send one credential: an API key or a token, not both",
        "CREDENTIALS_AMBIGUOUS",
    ),
    NoCredential.MISSING: (
        "the API key is empty",
        "CREDENTIAL_MISSING",
    ),
}
_HTTP_STATUS = {"UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 429}
_HTTP_UNAVAILABLE = 503
_OK = pb.CheckResponse()

logger = get_logger()


class CheckService(AuthorizationServicer):
    """Answers Envoy. `check_session` is asked about calls whose token names a session."""

    def __init__(self, keys: ApiKeyCheck, *, check_session: CheckSession | None = None) -> None:
        self._keys = keys
        self._check_session = check_session

    async def Check(self, request: pb.CheckRequest, context: Any) -> pb.CheckResponse:
        """Lets a call go on, with its identity, or says what its caller is told."""
        http = request.attributes.request.http
        method = http.path.partition("?")[0]
        with tracing(http.headers.get(TRACE_HEADER, "")):
            try:
                return await self._checked(http.headers, method)
            except HoldfastError as error:
                if debugging():
                    logger.debug("call_refused", asked_for=method, reason=error.reason)
                return _denied(error, as_json=_JSON_HEADER in http.headers)

    async def _checked(self, headers: Mapping[str, str], method: str) -> pb.CheckResponse:
        session_id = headers.get(SESSION_HEADER, "")
        if not session_id:
            return _identified(await self._key(headers, method))
        if self._check_session is not None:
            await self._check_session(session_id, method)
        return _OK

    async def _key(self, headers: Mapping[str, str], method: str) -> ApiKey:
        text = credential_of(headers)
        if isinstance(text, NoCredential):
            message, reason = _REFUSALS[text]
            raise Unauthenticated(message, reason=reason)
        address = headers.get(credentials.ADDRESS_HEADER, "")
        return await self._keys.check(text, method=method, address=address)


def _identified(key: ApiKey) -> pb.CheckResponse:
    identity = {
        "x-auth-subject": key.owner_id,
        "x-auth-roles": ROLE,
        "x-auth-scopes": " ".join(key.scopes),
        # For the usage log.
        API_KEY_ID_HEADER: key.id,
    }
    facts = Struct()
    facts.update({"key": key.id, "roles": [ROLE], "scopes": list(key.scopes)})
    if key.limit_per_minute:
        facts.update({"key_limit": str(key.limit_per_minute)})
    return pb.CheckResponse(
        ok_response=pb.OkHttpResponse(
            headers=[_header(name, value) for name, value in identity.items()],
            headers_to_remove=_REMOVED,
        ),
        dynamic_metadata=facts,
    )


def _denied(error: HoldfastError, *, as_json: bool) -> pb.CheckResponse:
    headers = [] if as_json else [_header("grpc-status-details-bin", header_of(error))]
    if error.retry_after_ms is not None:
        headers.append(_header("retry-after", str(-(-error.retry_after_ms // 1000))))
    return pb.CheckResponse(
        status=status_of(error),
        denied_response=pb.DeniedHttpResponse(
            status=pb.HttpStatus(code=_HTTP_STATUS.get(error.code.name, _HTTP_UNAVAILABLE)),
            headers=headers,
            body=json_of(error) if as_json else error.message,
        ),
    )


def _header(key: str, value: str) -> headers_pb2.HeaderValueOption:
    return headers_pb2.HeaderValueOption(
        header=headers_pb2.HeaderValue(key=key, value=value), append_action=_OVERWRITE
    )
