"""A stand-in for a service: health and metrics on the sockets that its environment names."""

from __future__ import annotations

import asyncio
import sys

from runtime import server
from runtime.metrics import MetricsServer
from runtime.settings import Settings


async def main(kind: str) -> None:
    """Serves until SIGTERM; `kind` is grpc or http, or `broken` to end at once."""
    settings = Settings()
    if kind == "broken":
        sys.exit("this service cannot start")
    if kind == "grpc":
        await server.run(settings, server.Server(settings.socket), [])
        return
    metrics = MetricsServer(settings.metrics_socket, ready=lambda: True)
    await metrics.start()
    await server.termination().wait()
    await metrics.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
