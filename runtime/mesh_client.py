"""A client of a whole mesh, as those outside see it: the network over mTLS, the edge over TLS.

The demo, `holdfast replay`, the benchmark and the tests are this client. It never retries by
itself: an unknown outcome is resolved by sending the same request id again.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import httpx

from holdfast.accounts.v1 import account_service_pb2_grpc as account_grpc
from holdfast.accounts.v1 import application_service_pb2_grpc as application_grpc
from holdfast.accounts.v1 import card_bulk_service_pb2_grpc as card_bulk_grpc
from holdfast.accounts.v1 import card_service_pb2_grpc as card_grpc
from holdfast.accounts.v1 import dispute_service_pb2_grpc as dispute_grpc
from holdfast.accounts.v1 import programme_service_pb2_grpc as programme_grpc
from holdfast.accounts.v1 import statement_service_pb2_grpc as statement_grpc
from holdfast.accounts.v1 import user_service_pb2_grpc as user_grpc
from holdfast.accounts.v1 import vault_service_pb2_grpc as vault_grpc
from holdfast.authz.v1 import authorization_service_pb2_grpc as authorization_grpc
from holdfast.authz.v1 import ledger_service_pb2_grpc as ledger_grpc
from holdfast.notify.v1 import event_service_pb2_grpc as event_grpc
from holdfast.notify.v1 import webhook_service_pb2_grpc as webhook_grpc
from holdfast.payments.v1 import back_office_service_pb2_grpc as back_office_grpc
from holdfast.payments.v1 import funding_source_service_pb2_grpc as funding_source_grpc
from holdfast.payments.v1 import payment_service_pb2_grpc as payment_grpc
from holdfast.payments.v1 import refund_service_pb2_grpc as refund_grpc
from holdfast.payments.v1 import transfer_service_pb2_grpc as transfer_grpc
from holdfast.stats.v1 import api_usage_service_pb2_grpc as api_usage_grpc
from holdfast.stats.v1 import report_service_pb2_grpc as report_grpc
from holdfast.stats.v1 import stats_service_pb2_grpc as stats_grpc
from runtime import pki
from runtime.access import TOKEN_ROLES
from runtime.cli.token import issue_token
from runtime.settings import OPERATOR, Settings
from runtime.tokens import TOKEN_LIFETIME_S

#: Deadline of one call, in seconds; Envoy ends a call after 10.
CALL_TIMEOUT_S = 10.0

_HOST = "127.0.0.1"
_OPTIONS = (
    ("grpc.enable_retries", 0),
    # A connection of our own, not one shared with every other channel of the process.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class TokenSource:
    """Access tokens signed with the home's key; a new one before half its life is over."""

    def __init__(self, settings: Settings, *, roles: tuple[str, ...]) -> None:
        self._settings = settings
        self._roles = roles
        self._token = ""
        self._renew_at = 0.0

    def token(self) -> str:
        """A token that is good for minutes."""
        if time.monotonic() >= self._renew_at:
            self._token = issue_token(self._settings, subject=OPERATOR, roles=self._roles)
            self._renew_at = time.monotonic() + TOKEN_LIFETIME_S / 2
        return self._token

    def renew(self) -> None:
        """Has the next call sign a new token."""
        self._renew_at = 0.0


class _Bearer(grpc.aio.UnaryUnaryClientInterceptor):
    """Sends the token with every call."""

    def __init__(self, tokens: TokenSource) -> None:
        self._tokens = tokens

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Adds the header."""
        given = client_call_details
        metadata = grpc.aio.Metadata(*(given.metadata or ()))
        metadata.add("authorization", f"Bearer {self._tokens.token()}")
        details = grpc.aio.ClientCallDetails(
            given.method, given.timeout, metadata, given.credentials, given.wait_for_ready
        )
        return await continuation(details, request)


class _BearerAuth(httpx.Auth):
    """The same for JSON."""

    def __init__(self, tokens: TokenSource) -> None:
        self._tokens = tokens

    def auth_flow(self, request: httpx.Request) -> Any:
        """Adds the header."""
        request.headers["authorization"] = f"Bearer {self._tokens.token()}"
        yield request


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshClient:
    """Stubs of everything a mesh offers to those outside."""

    settings: Settings
    ports: Mapping[str, int]
    tokens: TokenSource
    #: As a card network, over mTLS: Authorize, Capture, Reverse and its own authorizations.
    network: authorization_grpc.AuthorizationServiceAsyncStub
    #: As the same network: ResolvePan.
    vault: vault_grpc.VaultServiceAsyncStub
    #: At the edge, with a token: all of this service, balances too.
    authorizations: authorization_grpc.AuthorizationServiceAsyncStub
    accounts: account_grpc.AccountServiceAsyncStub
    cards: card_grpc.CardServiceAsyncStub
    card_bulk: card_bulk_grpc.CardBulkServiceAsyncStub
    programmes: programme_grpc.ProgrammeServiceAsyncStub
    applications: application_grpc.ApplicationServiceAsyncStub
    statements: statement_grpc.StatementServiceAsyncStub
    disputes: dispute_grpc.DisputeServiceAsyncStub
    users: user_grpc.UserServiceAsyncStub
    ledger: ledger_grpc.LedgerServiceAsyncStub
    payments: payment_grpc.PaymentServiceAsyncStub
    refunds: refund_grpc.RefundServiceAsyncStub
    funding_sources: funding_source_grpc.FundingSourceServiceAsyncStub
    back_office: back_office_grpc.BackOfficeServiceAsyncStub
    events: event_grpc.EventServiceAsyncStub
    webhooks: webhook_grpc.WebhookServiceAsyncStub
    transfers: transfer_grpc.TransferServiceAsyncStub
    stats: stats_grpc.StatsServiceAsyncStub
    reports: report_grpc.ReportServiceAsyncStub
    api_usage: api_usage_grpc.ApiUsageServiceAsyncStub
    #: JSON over HTTPS, with the same token.
    web: httpx.AsyncClient

    @property
    def edge_url(self) -> str:
        """Base URL of the JSON interface."""
        return f"https://localhost:{self.ports['edge_https']}"


@asynccontextmanager
async def connect(
    settings: Settings,
    ports: Mapping[str, int],
    *,
    network: str = pki.DEMO_NETWORK,
    roles: tuple[str, ...] = (TOKEN_ROLES[0],),
) -> AsyncIterator[MeshClient]:
    """A client of the running mesh with these settings and ports of Envoy.

    `runtime.devstack.state.running` knows both for a home, `Devstack` has both as attributes.
    """
    tokens = TokenSource(settings, roles=roles)
    identity = pki.load_credentials(settings, f"network-{network}")
    mutual = grpc.ssl_channel_credentials(identity.ca, identity.private_key, identity.certificate)
    async with AsyncExitStack() as stack:
        network_channel = await stack.enter_async_context(
            grpc.aio.secure_channel(f"{_HOST}:{ports['network']}", mutual, options=_OPTIONS)
        )
        edge_channel = await stack.enter_async_context(
            grpc.aio.secure_channel(
                f"{_HOST}:{ports['edge_https']}",
                grpc.ssl_channel_credentials(identity.ca),
                options=_OPTIONS,
                interceptors=[_Bearer(tokens)],
            )
        )
        web = await stack.enter_async_context(_web(settings, ports, tokens))
        yield MeshClient(
            settings=settings,
            ports=ports,
            tokens=tokens,
            network=authorization_grpc.AuthorizationServiceStub(network_channel),
            vault=vault_grpc.VaultServiceStub(network_channel),
            authorizations=authorization_grpc.AuthorizationServiceStub(edge_channel),
            accounts=account_grpc.AccountServiceStub(edge_channel),
            cards=card_grpc.CardServiceStub(edge_channel),
            card_bulk=card_bulk_grpc.CardBulkServiceStub(edge_channel),
            programmes=programme_grpc.ProgrammeServiceStub(edge_channel),
            applications=application_grpc.ApplicationServiceStub(edge_channel),
            statements=statement_grpc.StatementServiceStub(edge_channel),
            disputes=dispute_grpc.DisputeServiceStub(edge_channel),
            users=user_grpc.UserServiceStub(edge_channel),
            ledger=ledger_grpc.LedgerServiceStub(edge_channel),
            payments=payment_grpc.PaymentServiceStub(edge_channel),
            refunds=refund_grpc.RefundServiceStub(edge_channel),
            funding_sources=funding_source_grpc.FundingSourceServiceStub(edge_channel),
            back_office=back_office_grpc.BackOfficeServiceStub(edge_channel),
            events=event_grpc.EventServiceStub(edge_channel),
            webhooks=webhook_grpc.WebhookServiceStub(edge_channel),
            transfers=transfer_grpc.TransferServiceStub(edge_channel),
            stats=stats_grpc.StatsServiceStub(edge_channel),
            reports=report_grpc.ReportServiceStub(edge_channel),
            api_usage=api_usage_grpc.ApiUsageServiceStub(edge_channel),
            web=web,
        )


def _web(settings: Settings, ports: Mapping[str, int], tokens: TokenSource) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"https://{_HOST}:{ports['edge_https']}",
        verify=ssl.create_default_context(cafile=str(pki.ca_path(settings))),
        auth=_BearerAuth(tokens),
        timeout=CALL_TIMEOUT_S,
    )
