"""Envoy's process: rendered configuration, certificates, drain before stop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime.devstack import binaries, environment, probes, watches
from runtime.devstack.home import Home
from runtime.devstack.process import ProcessSpec
from runtime.devstack.settings import StackSettings

INSTANCE = "envoy"
#: Between failing health and SIGTERM: balancers in front stop sending new calls.
DRAIN_S = 0.3


def spec(home: Home, settings: StackSettings, *, ports: Mapping[str, int]) -> ProcessSpec:
    """Envoy's process, with its certificates made and its configuration written."""
    from runtime import envoyconfig, pki  # noqa: PLC0415  servers alone need neither

    watches.require()
    pki.ensure_certificates(settings)
    config = home.root / "envoy" / "envoy.yaml"
    config.write_text(
        envoyconfig.render(
            settings, ports=envoyconfig.Ports(**ports), authz_workers=settings.authz_workers
        )
    )
    admin = envoyconfig.admin_socket(settings)
    return ProcessSpec(
        instance=INSTANCE,
        argv=(
            # Without hot restart there is no shared memory that a killed Envoy would leave behind.
            *(str(binaries.envoy()), "-c", str(config), "--disable-hot-restart"),
            *("--concurrency", "1", "--log-level", "warn", "--drain-time-s", "1"),
        ),
        env=environment.of_server(settings),
        cwd=home.root / "envoy",
        log=home.log(INSTANCE),
        listens=", ".join(f"{name} :{port}" for name, port in ports.items()),
        ready=lambda: _ready(admin, stats=envoyconfig.JWKS_READY_STATS),
        obstacles=(admin,),
        before_stop=lambda: _drain(admin),
        stop_timeout_s=5.0,
    )


def renew_certificates(settings: StackSettings) -> None:
    """Renews what ends soon; Envoy notices."""
    from runtime import pki  # noqa: PLC0415  servers alone need it not

    pki.ensure_certificates(settings)


async def _ready(admin: Path, *, stats: Sequence[str]) -> bool:
    """Whether Envoy serves, and every one of `stats` (key sets fetched) is above zero.

    Before Envoy has the token keys, it would refuse valid tokens.
    """
    if not await probes.http_ok(admin, "/ready"):
        return False
    if not stats:
        return True
    text = await probes.http_text(admin, "/stats") or ""
    counts = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    return all(int(counts.get(name, "0")) > 0 for name in stats)


async def _drain(admin: Path) -> None:
    if await probes.http_text(admin, "/healthcheck/fail", method="POST") is not None:
        await asyncio.sleep(DRAIN_S)
