"""Structured logs: one JSON line per event on stderr. Nothing secret, no card numbers, ever."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from runtime.identity import call_fields

# structlog loads `rich` where it is installed, to draw tracebacks on terminals: 4 MiB, and a tenth
# of a second, of each process that writes JSON. Commands draw with it, and have loaded it by then.
if "rich" in sys.modules:
    import structlog
else:
    sys.modules["rich"] = None  # type: ignore[assignment]  # says that it is not there
    import structlog

    del sys.modules["rich"]

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

#: Keys whose values are never written, whoever passes them.
_SECRET_KEYS = ("password", "secret", "token", "authorization_header", "pan", "cvv", "dsn")


_debugging = False


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replaces the values of keys that name something secret."""
    for key in event:
        if any(key == secret or key.endswith(f"_{secret}") for secret in _SECRET_KEYS):
            event[key] = "[redacted]"
    return event


def _add_call(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Says which call it is about, if it is about one."""
    return {**call_fields(), **event}


def debugging() -> bool:
    """True if lines of level DEBUG are written: asking costs less than writing none."""
    return _debugging


def configure_logging(*, instance: str, level: str = "INFO", cached: bool = True) -> None:
    """Called once, in `__main__`. `cached`: loggers stay as they are at their first line; not for
    commands, of which one process may run several.
    """
    global _debugging  # noqa: PLW0603  a process has one log
    _debugging = level == "DEBUG"
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_call,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            _redact,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=cached,
    )
    structlog.contextvars.bind_contextvars(instance=instance)


def get_logger() -> structlog.stdlib.BoundLogger:
    """`logger.info("event_name", field=…)`: event first, fields after."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger()
    return logger
