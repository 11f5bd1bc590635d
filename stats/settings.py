"""Settings of stats."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from runtime.settings import Settings
from stats.period import MONDAY, SATURDAY, SUNDAY

_WEEK_STARTS = {"MONDAY": MONDAY, "SATURDAY": SATURDAY, "SUNDAY": SUNDAY}


class StatsSettings(Settings):
    """What can be set beyond what every process shares."""

    instance: str = "stats"
    stats_postgres_connections: int = Field(
        default=6, ge=4, le=64, description="Most connections to PostgreSQL at once."
    )
    stats_close_delay_h: int = Field(
        default=6,
        ge=0,
        le=24 * 31,
        description="How long a period waits to be closed once its last day has ended in every"
        " timezone. What comes in later makes another version.",
    )
    stats_watch_interval_s: int = Field(
        default=30,
        ge=1,
        le=3_600,
        description="How often is looked for what is unusual about the days of accounts that were"
        " used since.",
    )
    stats_correction_delay_s: int = Field(
        default=600,
        ge=0,
        le=7 * 86_400,
        description="How long what comes in for a closed period waits for more to come before"
        " another version is made.",
    )
    stats_week_start: Literal["MONDAY", "SATURDAY", "SUNDAY"] = Field(
        default="MONDAY",
        description="On which day weeks begin: those that are closed, and those that are asked for"
        " without saying. A change is for what is closed from then on.",
    )
    stats_report_days: int = Field(
        default=30, ge=1, le=3660, description="How long reports are kept once they are ready."
    )
    stats_usage_retention_days: int = Field(
        default=400, ge=1, le=3660, description="How long the use of each method is kept."
    )
    stats_usage_caller_retention_days: int = Field(
        default=92,
        ge=1,
        le=3660,
        description="How long it is kept by caller and API key.",
    )

    @property
    def week_start(self) -> int:
        """The weekday that weeks begin on, Monday 0."""
        return _WEEK_STARTS[self.stats_week_start]
