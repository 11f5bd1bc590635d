"""Settings of the authorizer and the settler."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from runtime.server import ServerKind
from runtime.settings import Settings

#: A unix socket, or a server that is reached by TLS: nothing else is private.
_TARGET = re.compile(r"unix:/\S+|tls://[A-Za-z0-9.-]+:[0-9]{1,5}")


class AuthzSettings(Settings):
    """Every bound of the authorizer has a name here."""

    authz_server: ServerKind = Field(
        default="native",
        description="gRPC server of the workers: native, or grpcio, which is slower.",
    )
    request_record_ttl_h: int = Field(
        default=24, ge=2, description="How long a request's answer is kept in Valkey, hours."
    )
    closed_hold_days: int = Field(
        default=35, ge=1, description="How long a closed hold stays in Valkey, days."
    )
    snapshot_cards: int = Field(
        default=100_000, ge=1, description="Cards whose configuration one worker keeps."
    )
    queue_commands: int = Field(
        default=4096, ge=1, description="Commands that may wait for Valkey before calls are shed."
    )
    unsettled_entries: int = Field(
        default=500_000,
        ge=1,
        description="Unsettled journal entries from which on nothing new is authorized.",
    )
    memory_percent: int = Field(
        default=70, ge=1, le=100, description="Memory use from which on nothing new is authorized."
    )
    unknown_cards_per_s: int = Field(
        default=50, ge=1, description="Unknown cards one principal may ask for, per second."
    )
    settle_batch: int = Field(
        default=4000, ge=1, description="Journal entries settled in one transaction at most."
    )
    settle_interval_ms: int = Field(
        default=200,
        ge=1,
        le=1000,
        description="Time between two transactions while entries trickle: longer is cheaper.",
    )
    external_decision_target: str | None = Field(
        default=None,
        description="Your own ExternalDecisionService, which has the last word on approvals:"
        " unix:/path, or tls://host:port; none: nobody is asked.",
    )
    external_decision_timeout_ms: int = Field(
        default=300, ge=1, le=500, description="How long an authorization waits for it."
    )
    external_decision_default: Literal["approve", "decline"] = Field(
        default="decline", description="What stands for an answer that does not come."
    )
    external_decision_ca: Path | None = Field(
        default=None,
        description="PEM file of the certificates that its TLS certificate must follow from;"
        " none: those of well-known authorities.",
    )

    @field_validator("external_decision_target")
    @classmethod
    def _private(cls, value: str | None) -> str | None:
        if value is not None and not _TARGET.fullmatch(value):
            raise ValueError("must be unix:/path or tls://host:port")
        return value
