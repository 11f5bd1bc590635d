"""A whole mesh whose services reach Valkey and PostgreSQL through bad networks."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from redis.asyncio import Redis

from authz.settings import AuthzSettings
from holdfast.authz.v1 import posting_service_pb2_grpc as posting_grpc
from runtime import dsn, redis
from runtime.channel import unix_channel
from runtime.devstack import home as homes
from runtime.devstack import valkey
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack, Plan
from runtime.mesh_client import MeshClient, connect
from tests.fault_proxy import FaultProxy, fault_proxy

_POSTGRES = ".s.PGSQL.5432"
#: Where the proxies listen. A client of PostgreSQL is told the folder.
_SOCKETS = (("valkey", "v.sock"), ("postgres", _POSTGRES))


class ProxiedMesh(Devstack):
    """Its services know the proxies, the servers and the supervisor do not."""

    def __init__(
        self, settings: StackSettings, *, plan: Plan, valkey: FaultProxy, postgres: FaultProxy
    ) -> None:
        super().__init__(settings, plan=plan)
        self._valkey, self._postgres = valkey, postgres
        self.direct = settings

    def _completed(self, home: homes.Home) -> StackSettings:
        self.direct = super()._completed(home)
        self._valkey.target = valkey.socket_of(home, valkey.MONEY)
        self._postgres.target = home.sockets / _POSTGRES
        url = dsn.with_parameters(
            self.direct.postgres_dsn or "", host=str(self._postgres.listens.parent)
        )
        return self.direct.model_copy(
            update={"postgres_dsn": url, "redis_url": f"unix://{self._valkey.listens}"}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The mesh, what breaks it, and who uses it."""

    stack: ProxiedMesh
    client: MeshClient
    posting: posting_grpc.PostingServiceAsyncStub
    valkey: FaultProxy
    postgres: FaultProxy
    #: May do everything, directly.
    money: Redis
    random: random.Random

    @property
    def settings(self) -> AuthzSettings:
        """How the auditor reaches the servers: past the proxies."""
        direct = self.stack.direct
        return AuthzSettings(
            home=direct.home,
            run_dir=direct.run_dir,
            postgres_dsn=direct.postgres_dsn,
            redis_url=direct.redis_url,
        )


@asynccontextmanager
async def soak_world(seed: int) -> AsyncIterator[World]:
    """A mesh of its own with every kind of server, and everybody connected."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hf-", dir="/tmp")))
        os.chmod(folder, 0o711)  # noqa: PTH101  servers started by root run as somebody else
        proxies = [
            await stack.enter_async_context(
                fault_proxy(name, listens=folder / listens, target=folder, seed=seed + number)
            )
            for number, (name, listens) in enumerate(
                (("valkey", "v.sock"), ("postgres", _POSTGRES))
            )
        ]
        settings = StackSettings(
            home=folder / "home",
            servers_dir=folder / "servers",
            authz_workers=2,
            postgres_dsn=None,
            redis_url=None,
            cache_url=None,
        )
        stack.callback(homes.remove, settings)
        whole = Plan.whole_mesh(settings, first_port=0)
        plan = Plan(services=whole.services, ports=whole.ports, test_user=True)
        mesh = await stack.enter_async_context(
            ProxiedMesh(settings, plan=plan, valkey=proxies[0], postgres=proxies[1])
        )
        money = redis.client(
            mesh.direct, mesh.direct.redis_url or "", server=valkey.MONEY, user="test"
        )
        stack.push_async_callback(money.aclose)
        channel: grpc.aio.Channel = await stack.enter_async_context(
            unix_channel(mesh.settings.egress_socket("accounts"))
        )
        yield World(
            stack=mesh,
            client=await stack.enter_async_context(connect(mesh.direct, mesh.ports)),
            posting=posting_grpc.PostingServiceStub(channel),
            valkey=proxies[0],
            postgres=proxies[1],
            money=money,
            random=random.Random(seed + 2),
        )
