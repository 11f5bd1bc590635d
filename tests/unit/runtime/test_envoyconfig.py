"""The rendered configuration: deterministic, complete, accepted by Envoy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime import envoyconfig, pki
from runtime.refusal_files import RefusalFiles
from runtime.settings import Settings

PORTS = envoyconfig.Ports(edge_https=1, edge_http=2, network=3, mesh=4, metrics=5)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", run_dir=Path("/tmp/hf-run"))


def _managers(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for listener in config["static_resources"]["listeners"]:
        for chain in listener["filter_chains"]:
            for one in chain["filters"]:
                if one["name"].endswith("http_connection_manager"):
                    yield listener["name"], one["typed_config"]


def test_the_same_input_gives_the_same_text(settings: Settings) -> None:
    first = envoyconfig.render(settings, ports=PORTS, authz_workers=3)
    assert envoyconfig.render(settings, ports=PORTS, authz_workers=3) == first


def test_every_listener_strips_identities(settings: Settings) -> None:
    config = yaml.safe_load(envoyconfig.render(settings, ports=PORTS, authz_workers=1))
    seen = set()
    for name, manager in _managers(config):
        seen.add(name)
        (extension,) = manager["early_header_mutation_extensions"]
        prefixes = {
            one["remove_on_match"]["key_matcher"]["prefix"]
            for one in extension["typed_config"]["mutations"][:2]
        }
        assert prefixes == {"x-auth-", "x-envoy-"}, name
        assert manager["path_with_escaped_slashes_action"] == "REJECT_REQUEST"
        common = manager["common_http_protocol_options"]
        assert common["headers_with_underscores_action"] == "REJECT_REQUEST"
    assert {"edge_https", "edge_http", "network", "mesh", "egress-accounts", "jwks"} < seen


def test_memory_and_connections_are_bounded(settings: Settings) -> None:
    """Each TCP listener has a limit of its own; all together have their sum. Memory has one, and is
    given back before calls are refused.
    """
    bounded = settings.model_copy(update={"edge_connections": 7, "network_connections": 5})
    config = yaml.safe_load(envoyconfig.render(bounded, ports=PORTS, authz_workers=1))
    (layer,) = config["layered_runtime"]["layers"]
    limits = {
        listener["name"]: layer["static_layer"][
            f"envoy.resource_limits.listener.{listener['name']}.connection_limit"
        ]
        for listener in config["static_resources"]["listeners"]
        if "socket_address" in listener["address"]
    }
    assert limits | {"edge_https": 7, "edge_http": 7, "network": 5} == limits
    manager = config["overload_manager"]
    monitors = {one["name"]: one["typed_config"] for one in manager["resource_monitors"]}
    every = monitors["envoy.resource_monitors.global_downstream_max_connections"]
    assert every["max_active_downstream_connections"] == sum(limits.values())
    heap = "envoy.resource_monitors.fixed_heap"
    assert monitors[heap]["max_heap_size_bytes"] == settings.envoy_memory_mb * 2**20
    thresholds = {}
    for action in manager["actions"]:
        (trigger,) = action["triggers"]
        assert trigger["name"] == heap
        thresholds[action["name"].rpartition(".")[2]] = trigger["threshold"]["value"]
    in_order = sorted(thresholds, key=lambda name: thresholds[name])
    assert (in_order[0], in_order[-1]) == ("shrink_heap", "stop_accepting_requests")


def test_every_worker_has_two_slots(settings: Settings) -> None:
    config = yaml.safe_load(envoyconfig.render(settings, ports=PORTS, authz_workers=2))
    clusters = {one["name"]: one for one in config["static_resources"]["clusters"]}
    paths = [
        endpoint["endpoint"]["address"]["pipe"]["path"]
        for endpoint in clusters["authz"]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    ]
    names = ["authz-0.a", "authz-0.b", "authz-1.a", "authz-1.b"]
    assert paths == [f"/tmp/hf-run/{name}.sock" for name in names]


def test_paths_are_quoted(tmp_path: Path) -> None:
    """A folder may be called anything; it must not become configuration."""
    odd = Settings(home=tmp_path / 'a "b": {c} #d', run_dir=tmp_path / "r ün")
    config = yaml.safe_load(envoyconfig.render(odd, ports=PORTS, authz_workers=1))
    assert config["admin"]["address"]["pipe"]["path"] == str(tmp_path / "r ün/envoy-admin.sock")


def test_envoy_accepts_it(settings: Settings) -> None:
    pki.ensure_certificates(settings)
    RefusalFiles(settings.home).make()
    config = settings.home / "envoy.yaml"
    config.write_text(envoyconfig.render(settings, ports=PORTS, authz_workers=2))
    envoyconfig.validate(config)


@pytest.mark.parametrize("content", ["", "nope: 1", "static_resources: [", "{}: {}"])
def test_envoys_own_words_come_with_a_refusal(tmp_path: Path, content: str) -> None:
    config = tmp_path / "envoy.yaml"
    config.write_text(content or "admin: {access_log_path: 5, nope: 1}")
    with pytest.raises(envoyconfig.EnvoyConfigError, match=r"(?s)envoy\.yaml.+error"):
        envoyconfig.validate(config)
