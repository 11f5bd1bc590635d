"""Runs gateway: `python -m gateway`."""

from __future__ import annotations

import asyncio

from gateway.service import JwksService
from gateway.token_keys import TokenKeys
from holdfast.gateway.v1 import jwks_service_pb2, jwks_service_pb2_grpc
from runtime import server
from runtime.clock import SystemClock
from runtime.log import configure_logging
from runtime.secrets import secrets_of
from runtime.settings import Settings

SERVICE_NAME = jwks_service_pb2.DESCRIPTOR.services_by_name["JwksService"].full_name


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM."""
    keys = TokenKeys(secrets_of(settings), SystemClock())
    keys.ensure()
    grpc = server.Server(settings.socket)
    jwks_service_pb2_grpc.add_JwksServiceServicer_to_server(JwksService(keys), grpc.services)
    await server.run(settings, grpc, [SERVICE_NAME])


def main() -> None:
    """Entry point."""
    settings = Settings()
    configure_logging(instance=settings.instance, level=settings.log_level)
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
