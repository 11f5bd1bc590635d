"""PostgreSQL pools: each service logs in as its own role, into its own schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import asyncpg

from runtime.errors import Unavailable
from runtime.log import get_logger
from runtime.secrets import secret_text
from runtime.settings import Settings

#: What asyncpg raises while the server is gone, going, or has no room: not our fault, not for ever.
#: A server that dies in the middle of an answer also leaves asyncpg's protocol confused.
UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
)

#: Statements that take longer are stuck: nothing here needs more.
STATEMENT_TIMEOUT_S = 30

logger = get_logger()


@contextmanager
def refusing_when_down() -> Iterator[None]:
    """Answers UNAVAILABLE while PostgreSQL cannot be used: nothing is decided without it."""
    try:
        yield
    except UNREACHABLE as error:
        logger.warning("postgres_unavailable", error=f"{type(error).__name__}: {error}")
        raise Unavailable(
            "storage is unavailable; the outcome is unknown: repeat the same request",
            reason="STORAGE_UNAVAILABLE",
        ) from error


async def _keep_session(_: object) -> None:
    """A session is as it was: nobody sets more than `LOCAL`, or keeps locks. So that who is done
    need not wait for the reset that asyncpg sends. An open transaction it rolls back in any case.
    """


async def connect_pool(
    settings: Settings, service: str, *, min_size: int = 1, max_size: int = 8
) -> asyncpg.Pool:
    """A pool that logs in as `holdfast_<service>` with the password of its secret. It is read for
    each connection; those that are there outlive its rotation.
    """
    assert settings.postgres_dsn is not None, "the supervisor sets HOLDFAST_POSTGRES_DSN"
    return await asyncpg.create_pool(
        settings.postgres_dsn,
        user=f"holdfast_{service}",
        password=partial(secret_text, settings, f"postgres-{service}"),
        min_size=min_size,
        max_size=max_size,
        command_timeout=STATEMENT_TIMEOUT_S,
        reset=_keep_session,
        server_settings={"search_path": service, "application_name": settings.instance},
    )
