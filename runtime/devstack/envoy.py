"""Envoy's process: rendered configuration, certificates, drain before stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime.devstack import binaries, environment, probes, watches
from runtime.devstack.home import Home
from runtime.devstack.process import Process, ProcessSpec, State
from runtime.devstack.settings import StackSettings
from runtime.refusal_files import RefusalFiles

INSTANCE = "envoy"
#: Between failing health and SIGTERM: balancers in front stop sending new calls.
DRAIN_S = 0.3
#: What Envoy tells in a file is there before the caller has read its answer: only killing the whole
#: machine loses it. Otherwise Envoy would wait for 64 KB, or ten seconds.
_FLUSH_AT_ONCE = ("--file-flush-min-size-kb", "0", "--file-flush-interval-msec", "100")
#: When a new file of refusals is begun: seconds between looks, and bytes that it must have by then.
#: So a refusal stays there for two hours at most.
REFUSALS_TURNS = ((1.0, 4 * 2**20), (3600.0, 1))


def spec(home: Home, settings: StackSettings, *, ports: Mapping[str, int]) -> ProcessSpec:
    """Envoy's process, with its certificates made and its configuration written."""
    from runtime import envoyconfig, pki  # noqa: PLC0415  servers alone need neither

    watches.require()
    pki.ensure_certificates(settings)
    RefusalFiles(settings.home).make()
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
            *_FLUSH_AT_ONCE,
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


def bound_refusals(settings: StackSettings, process: Process, *, at_least: int) -> None:
    """Has Envoy begin a new file if the one it writes has so many bytes."""
    files = RefusalFiles(settings.home)
    # Before it is ready, Envoy would die of the signal.
    if process.state is State.READY and (files.turn(at_least) or files.half_turned):
        process.send(signal.SIGUSR1)


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
