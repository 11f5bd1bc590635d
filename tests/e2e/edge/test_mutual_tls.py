"""mTLS: who reaches the network and mesh listeners, with which identity, and what is refused."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from holdfast.authz.v1 import authorization_service_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2_grpc as pb_grpc
from holdfast.authz.v1 import projection_service_pb2 as projection_pb
from holdfast.authz.v1 import projection_service_pb2_grpc as projection_pb_grpc
from runtime import pki
from runtime.certificates import make_leaf_certificate, private_pem
from runtime.channel import unix_channel
from runtime.settings import Settings
from tests.e2e.edge.world import World, call_empty, until

DENIED = grpc.StatusCode.PERMISSION_DENIED
#: How a refused handshake looks to a gRPC client.
NOT_CONNECTED = grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def demo(world: World) -> pki.Credentials:
    return pki.load_credentials(world.settings, "network-demo")


@pytest.fixture
def foreign(tmp_path: Path) -> pki.Credentials:
    """The same name from another CA."""
    other = Settings(home=tmp_path / "other")
    pki.ensure_certificates(other)
    return pki.load_credentials(other, "network-demo")


async def _code(channel: grpc.aio.Channel, path: str) -> grpc.StatusCode:
    """The status of one call; OK too."""
    async with channel:
        try:
            await call_empty(channel, path)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("AuthorizationService/Authorize", grpc.StatusCode.OK),
        ("AuthorizationService/CaptureAuthorization", grpc.StatusCode.OK),
        ("AuthorizationService/ReverseAuthorization", grpc.StatusCode.OK),
        ("AuthorizationService/GetAuthorization", grpc.StatusCode.OK),
        ("AuthorizationService/GetBalance", DENIED),
        ("LedgerService/ListEntries", DENIED),
        ("ProjectionService/ApplyAccount", DENIED),
        ("NoService/Nothing", DENIED),
    ],
)
async def test_a_network_reaches_its_methods_only(
    world: World, demo: pki.Credentials, method: str, code: grpc.StatusCode
) -> None:
    channel = world.tls_channel(world.ports.network, demo)
    assert await _code(channel, f"/holdfast.authz.v1.{method}") is code
    assert len(world.upstream.calls) == (1 if code is grpc.StatusCode.OK else 0)


async def test_a_network_is_its_spiffe_id(world: World, demo: pki.Credentials) -> None:
    """Whatever else it claims to be."""
    claimed = [
        ("x-auth-subject", "usr_root"),
        ("x-auth-roles", "admin"),
        ("x-auth-spiffe", "spiffe://holdfast.local/network/other"),
    ]
    async with world.tls_channel(world.ports.network, demo) as channel:
        await pb_grpc.AuthorizationServiceStub(channel).Authorize(
            pb.AuthorizeRequest(), metadata=claimed
        )
    call = world.upstream.last
    assert call.identity.principal == "spiffe://holdfast.local/network/demo"
    assert call.identity.roles == frozenset()
    assert call.values("x-auth-spiffe") == ["spiffe://holdfast.local/network/demo"]
    assert call.values("x-auth-subject") == []


async def test_another_network_is_another_principal(world: World) -> None:
    other = pki.issue_network_certificate(world.settings, "other")
    async with world.tls_channel(world.ports.network, other) as channel:
        await pb_grpc.AuthorizationServiceStub(channel).Authorize(pb.AuthorizeRequest())
    assert world.upstream.last.identity.principal == "spiffe://holdfast.local/network/other"


async def test_a_certificate_with_two_names_is_nobody(world: World, demo: pki.Credentials) -> None:
    """Our CA makes none, another one might: the identity would be a list."""
    ca_key = serialization.load_pem_private_key(
        (pki.pki_path(world.settings) / "ca.key").read_bytes(), password=None
    )
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    names = ("spiffe://holdfast.local/network/demo", "spiffe://holdfast.local/network/other")
    certificate = make_leaf_certificate(
        x509.load_pem_x509_certificate(demo.ca),
        ca_key,
        public_key=key.public_key(),
        name="two",
        alternative_names=x509.SubjectAlternativeName(
            [x509.UniformResourceIdentifier(name) for name in names]
        ),
        usages=x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
        now=datetime.now(UTC),
    )
    two = pki.Credentials(
        path=demo.path,
        private_key=private_pem(key),
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        ca=demo.ca,
    )
    channel = world.tls_channel(world.ports.network, two)
    assert await _code(channel, "/holdfast.authz.v1.AuthorizationService/Authorize") is DENIED


@pytest.mark.parametrize("listener", ["network", "mesh"])
async def test_no_certificate_no_connection(world: World, listener: str) -> None:
    channel = world.tls_channel(getattr(world.ports, listener), None)
    code = await _code(channel, "/holdfast.authz.v1.AuthorizationService/Authorize")
    assert code is NOT_CONNECTED
    assert world.upstream.calls == []


async def test_a_certificate_of_another_ca_is_refused(
    world: World, foreign: pki.Credentials
) -> None:
    channel = world.tls_channel(world.ports.network, foreign)
    code = await _code(channel, "/holdfast.authz.v1.AuthorizationService/Authorize")
    assert code is NOT_CONNECTED


@pytest.mark.parametrize(
    ("name", "listener"), [("service-accounts", "network"), ("network-demo", "mesh")]
)
async def test_a_certificate_is_good_for_its_listener_only(
    world: World, name: str, listener: str
) -> None:
    credentials = pki.load_credentials(world.settings, name)
    channel = world.tls_channel(getattr(world.ports, listener), credentials)
    code = await _code(channel, "/holdfast.authz.v1.AuthorizationService/Authorize")
    assert code is NOT_CONNECTED


async def test_a_servers_certificate_is_no_clients(world: World) -> None:
    """The listeners' own certificates cannot be turned against them."""
    credentials = pki.load_credentials(world.settings, "envoy-mesh")
    channel = world.tls_channel(world.ports.mesh, credentials)
    code = await _code(channel, "/holdfast.authz.v1.ProjectionService/ApplyAccount")
    assert code is NOT_CONNECTED


@pytest.mark.parametrize(
    ("listener", "version", "accepted"),
    [
        ("network", ssl.TLSVersion.TLSv1_2, False),
        ("network", ssl.TLSVersion.TLSv1_3, True),
        ("mesh", ssl.TLSVersion.TLSv1_2, False),
        ("edge_https", ssl.TLSVersion.TLSv1_2, True),
        ("edge_https", ssl.TLSVersion.TLSv1_3, True),
    ],
)
async def test_tls_versions(
    world: World, demo: pki.Credentials, listener: str, version: ssl.TLSVersion, accepted: bool
) -> None:
    context = world.tls_context()
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(demo.path)
    try:
        _, writer = await asyncio.open_connection(
            "localhost", getattr(world.ports, listener), ssl=context
        )
    except ssl.SSLError:
        assert not accepted
        return
    assert accepted
    writer.close()
    await writer.wait_closed()


async def test_accounts_reaches_the_projection_through_its_egress(world: World) -> None:
    """Plain gRPC on a unix socket; Envoy does mTLS, and authz sees the SPIFFE id."""
    async with unix_channel(world.settings.egress_socket("accounts")) as channel:
        stub = projection_pb_grpc.ProjectionServiceStub(channel)
        await stub.ApplyAccount(
            projection_pb.ApplyAccountRequest(version=3),
            metadata=[("x-auth-subject", "usr_root"), ("x-auth-roles", "admin")],
        )
    call = world.upstream.last
    assert call.request.version == 3
    assert call.identity.principal == "spiffe://holdfast.local/service/accounts"
    assert call.identity.roles == frozenset()


@pytest.mark.parametrize(
    ("service", "method"),
    [
        ("gateway", "ProjectionService/ApplyAccount"),
        ("settler", "ProjectionService/ApplyCard"),
        ("authz", "ProjectionService/ApplyCard"),
        ("accounts", "AuthorizationService/Authorize"),
        ("accounts", "LedgerService/GetTrialBalance"),
    ],
)
async def test_other_services_and_methods_are_denied(
    world: World, service: str, method: str
) -> None:
    channel = unix_channel(world.settings.egress_socket(service))
    assert await _code(channel, f"/holdfast.authz.v1.{method}") is DENIED
    assert world.upstream.calls == []


def _shown_serial(world: World, port: int) -> int:
    """Serial number of the certificate that a listener shows now."""
    context = world.tls_context()
    context.load_cert_chain(pki.load_credentials(world.settings, "network-demo").path)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        shown = secure.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


async def test_a_renewed_certificate_is_shown_without_restart(world: World) -> None:
    for name, port in (("edge", world.ports.edge_https), ("network", world.ports.network)):
        before = await asyncio.to_thread(_shown_serial, world, port)
        pki.identity_path(world.settings, f"envoy-{name}").unlink()
        pki.ensure_certificates(world.settings)

        async def renewed(port: int = port, before: int = before) -> bool:
            return await asyncio.to_thread(_shown_serial, world, port) != before

        await until(renewed)


async def test_a_services_renewed_certificate_is_used(world: World) -> None:
    """Egress keeps working while accounts' certificate changes."""
    pki.identity_path(world.settings, "service-accounts").unlink()
    pki.ensure_certificates(world.settings)
    await asyncio.sleep(0.3)
    channel = unix_channel(world.settings.egress_socket("accounts"))
    code = await _code(channel, "/holdfast.authz.v1.ProjectionService/ApplyAccount")
    assert code is grpc.StatusCode.OK
