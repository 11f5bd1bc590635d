"""Composes the environment of child processes. The only place beside settings that reads ours."""

from __future__ import annotations

import os

from runtime import dsn
from runtime.settings import Settings

#: What every child may see of our environment. Everything else stays here.
_PASSED = ("PATH", "LANG", "LC_ALL", "TZ")
#: What Python services see besides.
_PASSED_TO_SERVICES = ("HOME", "USER", "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONPATH")
_PREFIX = "HOLDFAST_"


def of_server(settings: Settings) -> dict[str, str]:
    """Environment of PostgreSQL, Valkey and Envoy: no setting and no secret, only the marker.

    The marker is the run folder: by it, a process that outlived its supervisor is found again.
    """
    return {
        **{name: os.environ[name] for name in _PASSED if name in os.environ},
        f"{_PREFIX}RUN_DIR": str(settings.run_path),
    }


def of_service(settings: Settings, instance: str, slot: str = "a") -> dict[str, str]:
    """Environment of one Python service: our HOLDFAST_* settings, and who and where it is.

    The DSN carries no login: a service logs in as its own role with its own secret.
    """
    assert settings.postgres_dsn, "the supervisor fills in the servers it started"
    assert settings.redis_url, "the supervisor fills in the servers it started"
    assert settings.cache_url, "the supervisor fills in the servers it started"
    ours = {name: value for name, value in os.environ.items() if name.startswith(_PREFIX)}
    passed = {name: os.environ[name] for name in _PASSED_TO_SERVICES if name in os.environ}
    return {
        **ours,
        **passed,
        **of_server(settings),
        "TMPDIR": str(settings.run_path),
        "PYTHONUNBUFFERED": "1",
        f"{_PREFIX}HOME": str(settings.home),
        f"{_PREFIX}POSTGRES_DSN": dsn.without_login(settings.postgres_dsn),
        f"{_PREFIX}REDIS_URL": settings.redis_url,
        f"{_PREFIX}CACHE_URL": settings.cache_url,
        f"{_PREFIX}TRUST_DOMAIN": settings.trust_domain,
        f"{_PREFIX}LOG_LEVEL": settings.log_level,
        f"{_PREFIX}WEBHOOK_NETWORKS": settings.webhook_networks,
        f"{_PREFIX}INSTANCE": instance,
        f"{_PREFIX}SLOT": slot,
    }
