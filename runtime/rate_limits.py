"""Limits of calls at the edge: the class of each method, as the contract has it, and what Envoy is
told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from holdfast.type.v1 import rate_limit_pb2
from holdfast.type.v1.rate_limit_pb2 import RateLimitClass
from runtime.contract import rpcs
from runtime.settings import Settings

#: Classes whose calls are refused while the limiter is down.
GUARDED = (
    rate_limit_pb2.RATE_LIMIT_CLASS_SIGN_IN,
    rate_limit_pb2.RATE_LIMIT_CLASS_REVEAL,
    rate_limit_pb2.RATE_LIMIT_CLASS_REFRESH,
)
#: The highest limit per minute of one API key.
KEY_LIMIT_MAX = 6_000

_DOMAIN = "edge"
#: How long Envoy waits for the limiter: one that takes longer is down, and what it was asked about
#: passes uncounted. It answers within a millisecond; on a machine that is too busy calls wait
#: rather than pass.
_TIMEOUT_S = "1"
_UNLIMITED = 1_000_000
_WINDOW_S = 60


@cache
def classes() -> Mapping[str, RateLimitClass.ValueType]:
    """Class by gRPC path, of the methods that name one."""
    return {
        rpc.path: rpc.method.options.Extensions[rate_limit_pb2.rate_limit]
        for rpc in rpcs()
        if rpc.method.options.HasExtension(rate_limit_pb2.rate_limit)
    }


def caps(settings: Settings) -> dict[str, Any]:
    """What the templates of Envoy need to know."""
    guarded = [re.escape(path) for path, one in classes().items() if one in GUARDED]
    return {
        "enabled": settings.limits == "on",
        "domain": _DOMAIN,
        "timeout_s": _TIMEOUT_S,
        "guarded_regex": "|".join(guarded),
        "coarse": _bucket(KEY_LIMIT_MAX),
        "by_subject": {
            subject: _bucket(per_minute)
            for subject, per_minute in settings.principal_limits.items()
            if not 0 < per_minute <= KEY_LIMIT_MAX
        },
        "network_calls": settings.network_calls_per_second,
    }


def _bucket(per_minute: int) -> dict[str, Any]:
    """Never refuses what a sliding window of a minute lets through."""
    tokens = per_minute or _UNLIMITED
    fill = -(-tokens // _WINDOW_S)
    return {"max_tokens": tokens, "tokens_per_fill": fill, "fill_interval": "1s"}
