"""What Envoy exposes: loopback only, private sockets, a closed admin interface, metrics."""

from __future__ import annotations

import stat
from dataclasses import astuple

import httpx
import psutil
import pytest

from runtime import envoyconfig
from tests.e2e.edge.world import World


async def test_every_port_is_on_loopback(world: World) -> None:
    listening = [
        connection.laddr
        for connection in psutil.Process(world.envoy_pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert {address.port for address in listening} == set(astuple(world.ports))


async def test_every_socket_is_private(world: World) -> None:
    settings = world.settings
    sockets = [
        envoyconfig.admin_socket(settings),
        settings.run_path / "jwks.sock",
        settings.egress_socket("accounts"),
    ]
    for path in sockets:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize(
    "path",
    ["/ready", "/stats", "/stats?filter=jwks", "/stats/prometheus?usedonly", "/server_info"],
)
async def test_admin_shows_its_state(world: World, path: str) -> None:
    assert (await world.admin.get(path)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/config_dump", "/certs", "/quitquitquit", "/logging", "/runtime_modify"),
        *("/clusters", "/quitquitquit?/ready", "/ready/../quitquitquit", "/stats/recentlookups"),
    ],
)
async def test_admin_is_closed_otherwise(world: World, path: str) -> None:
    for verb in ("GET", "POST"):
        assert (await world.admin.request(verb, path)).status_code == 403


async def test_metrics_of_each_process(world: World) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{world.ports.metrics}") as client:
        assert (await client.get("/metrics/gateway")).text.startswith("# HELP")
        of_envoy = await client.get("/metrics/envoy")
        assert "envoy_cluster_membership_healthy" in of_envoy.text
        # No process, no page; nothing but these pages.
        assert (await client.get("/metrics/settler")).status_code == 503
        assert (await client.post("/metrics/envoy")).status_code == 404
        for path in ("/metrics/other", "/ready", "/metrics/envoy/../../quitquitquit"):
            assert (await client.get(path)).status_code == 404


async def test_health_can_be_failed_before_a_stop(world: World) -> None:
    """The supervisor does this before SIGTERM; it must be reachable and reversible."""
    assert (await world.admin.post("/healthcheck/fail")).status_code == 200
    assert (await world.admin.post("/healthcheck/ok")).status_code == 200
