"""A real Envoy with our configuration, in front of the fakes and the real gateway."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
import ssl
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import jwt

from envoy_wire import external_auth_pb2_grpc
from gateway.api_key import ApiKey
from gateway.check_service import CheckService
from gateway.service import JwksService
from gateway.sign_in import session_ended
from gateway.token_keys import TokenKeys
from holdfast.gateway.v1 import jwks_service_pb2_grpc
from runtime import envoyconfig, pki
from runtime.clock import SystemClock
from runtime.errors import ResourceExhausted
from runtime.metrics import MetricsServer
from runtime.refusal_files import RefusalFiles
from runtime.server import Server
from runtime.settings import Settings
from tests.e2e.edge.upstream import Recorder, add_fakes

START_TIMEOUT_S = 20
#: Tokens of this session are refused.
ENDED_SESSION = "ses-ended"
#: Shown too often.
JUNK_KEY = "hf_junk"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a test reaches."""

    settings: Settings
    ports: envoyconfig.Ports
    upstream: Recorder
    #: The servers behind Envoy by cluster.
    servers: dict[str, Server]
    envoy_pid: int
    #: Plain HTTP edge.
    web: httpx.AsyncClient
    #: Envoy's admin interface.
    admin: httpx.AsyncClient

    @property
    def keys(self) -> TokenKeys:
        """The keys that tokens are signed with."""
        return TokenKeys(self.settings, SystemClock())

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What a good token says; None removes a claim."""
        now = int(time.time())
        good = {
            "iss": "https://holdfast.local",
            "aud": "holdfast-edge",
            "sub": "usr_alice",
            "roles": "admin",
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "jti": uuid.uuid4().hex,
        }
        return {key: value for key, value in {**good, **changes}.items() if value is not None}

    def token(self, **changes: Any) -> str:
        """A token signed with the installation's key."""
        key = self.keys.read()[0]
        return jwt.encode(
            self.claims(**changes), key.private_key, algorithm="ES256", headers={"kid": key.kid}
        )

    def bearer(self, **changes: Any) -> dict[str, str]:
        """The header of a good token."""
        return {"authorization": f"Bearer {self.token(**changes)}"}

    def edge_channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.ports.edge_http}")

    def tls_channel(self, port: int, credentials: pki.Credentials | None) -> grpc.aio.Channel:
        """A channel with a client certificate, or without."""
        identity = (
            (credentials.private_key, credentials.certificate) if credentials else (None, None)
        )
        ca = pki.ca_path(self.settings).read_bytes()
        return grpc.aio.secure_channel(
            f"localhost:{port}", grpc.ssl_channel_credentials(ca, *identity)
        )

    def tls_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(pki.ca_path(self.settings)))


async def call_empty(
    channel: grpc.aio.Channel, path: str, metadata: dict[str, str] | None = None
) -> bytes:
    """Calls any method with an empty message."""
    method = channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)
    answer: bytes = await method(b"", timeout=5, metadata=list((metadata or {}).items()))
    return answer


async def stats(world: World, prefix: str) -> dict[str, int]:
    """Envoy's counters and gauges whose names begin so."""
    text = (await world.admin.get("/stats", params={"filter": f"^{re.escape(prefix)}"})).text
    pairs = (line.rsplit(": ", 1) for line in text.splitlines() if ": " in line)
    return {name: int(value) for name, value in pairs if value.isdigit()}


async def until(condition: Callable[[], Any], *, timeout_s: float = START_TIMEOUT_S) -> None:
    """Waits for a condition (a coroutine function) to hold."""
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.05)


@asynccontextmanager
async def running_world(folder: Path, **fields: Any) -> AsyncIterator[World]:
    """Starts the servers, then Envoy; waits until tokens are accepted."""
    settings = Settings(home=folder / "home", run_dir=folder / "run", **fields)
    settings.run_path.mkdir(mode=0o700)
    recorder = Recorder()
    async with AsyncExitStack() as stack:
        servers = await _start_servers(settings, recorder, stack)
        metrics = MetricsServer(settings.run_path / "gateway.a.metrics.sock", ready=lambda: True)
        await metrics.start()
        stack.push_async_callback(metrics.stop)
        ports = _free_ports()
        process = _start_envoy(settings, ports, stack)
        transport = httpx.AsyncHTTPTransport(uds=str(envoyconfig.admin_socket(settings)))
        admin = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://admin")
        )
        web = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports.edge_http}")
        )
        await until(lambda: _is_ready(admin))
        yield World(
            settings=settings,
            ports=ports,
            upstream=recorder,
            servers=servers,
            envoy_pid=process.pid,
            web=web,
            admin=admin,
        )


async def _check_session(session_id: str, method: str) -> None:
    """Every session lives but one."""
    del method
    if session_id == ENDED_SESSION:
        raise session_ended()


class _Keys:
    """Says of every key that there were too many unknown ones."""

    async def check(self, text: str, **_: str) -> ApiKey:
        if text != JUNK_KEY:
            raise LookupError(text)  # as if gateway were broken
        raise ResourceExhausted("too many", reason="RATE_LIMITED", retry_after_ms=7_000)


async def _start_servers(
    settings: Settings, recorder: Recorder, stack: AsyncExitStack
) -> dict[str, Server]:
    authz = Server(settings.socket_of("authz-0"))
    accounts = Server(settings.socket_of("accounts"))
    payments = Server(settings.socket_of("payments"))
    gateway = Server(settings.socket_of("gateway"))
    notify = Server(settings.socket_of("notify"))
    stats = Server(settings.socket_of("stats"))
    keys = TokenKeys(settings, SystemClock())
    keys.ensure()
    jwks_service_pb2_grpc.add_JwksServiceServicer_to_server(JwksService(keys), gateway.services)
    keys_check: Any = _Keys()
    checks = CheckService(keys_check, check_session=_check_session)
    external_auth_pb2_grpc.add_AuthorizationServicer_to_server(checks, gateway.services)
    for server, names in (
        (authz, add_fakes(authz, "authz", recorder)),
        (accounts, add_fakes(accounts, "accounts", recorder)),
        (payments, add_fakes(payments, "payments", recorder)),
        (gateway, add_fakes(gateway, "gateway", recorder)),
        (notify, add_fakes(notify, "notify", recorder)),
        (stats, add_fakes(stats, "stats", recorder)),
    ):
        await server.start(names)
        await server.set_serving(True)
    servers = {
        "authz": authz,
        "accounts": accounts,
        "payments": payments,
        "gateway": gateway,
        "notify": notify,
        "stats": stats,
    }

    async def stop() -> None:
        # Those that run by then: tests replace servers.
        for server in servers.values():
            await server.grpc_server.stop(None)
        # grpc.aio's servers need the event loop once more when they are collected.
        servers.clear()
        gc.collect()

    stack.push_async_callback(stop)
    return servers


def _start_envoy(
    settings: Settings, ports: envoyconfig.Ports, stack: AsyncExitStack
) -> subprocess.Popen[bytes]:
    pki.ensure_certificates(settings)
    RefusalFiles(settings.home).make()
    config = settings.home / "envoy.yaml"
    config.write_text(envoyconfig.render(settings, ports=ports, authz_workers=1))
    log = stack.enter_context((settings.home / "envoy.log").open("wb"))
    process = subprocess.Popen(
        [
            *(envoyconfig.envoy_path(), "-c", str(config), "--use-dynamic-base-id"),
            *("--concurrency", "1", "--log-level", "warning"),
        ],
        stdout=log,
        stderr=log,
    )

    def stop() -> None:
        process.kill()
        process.wait(timeout=10)

    stack.callback(stop)
    return process


def _free_ports() -> envoyconfig.Ports:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
    numbers = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    names = ("edge_https", "edge_http", "network", "mesh", "metrics")
    return envoyconfig.Ports(**dict(zip(names, numbers, strict=True)))


async def _is_ready(admin: httpx.AsyncClient) -> bool:
    try:
        if (await admin.get("/ready")).status_code != httpx.codes.OK:
            return False
        stats = (await admin.get("/stats")).text
    except httpx.TransportError:
        return False
    values = dict(line.rsplit(": ", 1) for line in stats.splitlines() if ": " in line)
    clusters = ("authz", "accounts", "payments", "gateway", "notify", "stats")
    healthy = all(values.get(f"cluster.{name}.membership_healthy") == "1" for name in clusters)
    return healthy and all(values.get(name, "0") != "0" for name in envoyconfig.JWKS_READY_STATS)
