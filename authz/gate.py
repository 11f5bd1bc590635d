"""The gate: decides whether the money Valkey tells the truth. In doubt it refuses, at start, on
every new connection and every second after.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from redis.exceptions import ResponseError

from authz import keys
from authz.entry import raw_of
from authz.ledger_store import LedgerStore, PartitionRow
from authz.settings import AuthzSettings
from runtime.errors import Unavailable
from runtime.log import get_logger
from runtime.postgres import UNREACHABLE
from runtime.settings import PARTITIONS
from runtime.wire import Command, Wire

#: What the server must be configured to: an approval is on disk before it is answered, and no key
#: is ever evicted.
REQUIRED_CONFIG = {
    "maxmemory-policy": "noeviction",
    "appendonly": "yes",
    "appendfsync": "always",
}

#: How often partitions are compared while the settler moves them.
COMPARE_TRIES = 10

HEALTH_COMMANDS: tuple[Command, ...] = (
    ("INFO",),
    *(("CONFIG", "GET", name) for name in REQUIRED_CONFIG),
)

logger = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What one look at the server says; `refusal` is empty if it may be trusted."""

    run_id: str
    refusal: str
    used_memory: int
    memory_limit: int


def health_of(answers: list[Any]) -> Health:
    """Reads the answers to `HEALTH_COMMANDS`."""
    info = parse_info(answers[0])
    return Health(
        run_id=info.get("run_id", ""),
        refusal=_refusal(info, answers[1:]),
        used_memory=int(info.get("used_memory", "0")),
        memory_limit=int(info.get("maxmemory", "0")) or int(info.get("total_system_memory", "0")),
    )


def _refusal(info: Mapping[str, str], configs: list[Any]) -> str:
    if info.get("role") != "master":
        return "Valkey is read-only (a replica)"
    if info.get("loading") != "0":
        return "Valkey is still loading its data"
    if info.get("aof_last_write_status") != "ok":
        return "Valkey cannot write its append-only file; is the disk full?"
    for (name, wanted), answer in zip(REQUIRED_CONFIG.items(), configs, strict=True):
        found = config_value(answer)
        if found != wanted:
            return f"Valkey has {name} {found!r}; money needs {wanted!r}"
    return ""


def config_value(answer: Any) -> str:
    """The value of a CONFIG GET answer, in RESP2 or RESP3."""
    if isinstance(answer, dict):
        return str(next(iter(answer.values()), ""))
    return str(answer[1]) if answer else ""


def parse_info(text: str) -> dict[str, str]:
    """`INFO` as a mapping."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: value.strip() for name, value in pairs}


@dataclass(slots=True)
class Gate:
    """Holds what a worker knows of the truth: the epoch, and the highest pseq it has seen."""

    settings: AuthzSettings
    ledger: LedgerStore
    epoch: int = 0
    run_id: str = ""
    seen: list[int] = field(default_factory=lambda: [0] * PARTITIONS)

    def saw(self, partition: int, pseq: int) -> None:
        """Remembers the highest pseq of a partition; the gate refuses a Valkey that has less."""
        self.seen[partition] = max(self.seen[partition], pseq)

    async def inspect(self, wire: Wire) -> None:
        """Raises Unavailable, with what is wrong, unless the server may be trusted."""
        try:
            health = health_of(await wire.execute(HEALTH_COMMANDS))
        except ResponseError as error:
            raise Unavailable(f"Valkey refuses to be inspected: {error}") from None
        if health.refusal:
            raise Unavailable(health.refusal, reason="VALKEY_NOT_TRUSTED")
        try:
            rows = await self.ledger.partitions()
        except UNREACHABLE as error:
            await self._trust_last_verdict(wire, health, because=type(error).__name__)
        else:
            if rows and rows[0].epoch != self.epoch:
                # What was seen in another epoch is settled, or was given up by a person.
                self.seen = [0] * PARTITIONS
            rows = await self._compare_while_settling(wire, rows)
            self.epoch = rows[0].epoch
            verdict = {"epoch": self.epoch, "run_id": health.run_id}
            await wire.execute([("SET", keys.VERDICT, json.dumps(verdict))])
        self.run_id = health.run_id
        logger.info("gate_open", epoch=self.epoch, run_id=self.run_id)

    async def _compare_while_settling(
        self, wire: Wire, rows: list[PartitionRow]
    ) -> list[PartitionRow]:
        """Compares; what the settler trimmed since the rows were read is no gap: read again."""
        for _ in range(COMPARE_TRIES - 1):
            try:
                await self._compare(wire, rows)
            except Unavailable as error:
                again = await self.ledger.partitions()
                if error.reason != "JOURNAL_GAP" or again == rows:
                    raise
                rows = again
            else:
                return rows
        await self._compare(wire, rows)
        return rows

    async def _compare(self, wire: Wire, rows: list[PartitionRow]) -> None:
        """Each partition: same epoch, Valkey not behind the ledger, no gap, same last entry.

        Valkey is asked after the ledger: it may be ahead of what the ledger said, never behind.
        """
        metas = await _metas(wire)
        if len(rows) != PARTITIONS:
            raise Unavailable("the ledger is not initialised; is the settler running?")
        if all(found == [None, None] for found in metas):
            raise Unavailable(
                "Valkey is empty but the ledger is not: its data was lost; restore its append-only"
                " file, or rebuild it with `holdfast rehydrate`",
                reason="VALKEY_EMPTY",
            )
        for row, (epoch, pseq) in zip(rows, metas, strict=True):
            if epoch != str(row.epoch) or not str(pseq).isdecimal():
                raise Unavailable(
                    f"partition {row.partition}: Valkey has epoch {epoch}, the ledger {row.epoch};"
                    " if this is the right Valkey, rebuild it with `holdfast rehydrate`",
                    reason="WRONG_EPOCH",
                )
            known = max(row.position, self.seen[row.partition])
            if int(pseq) < known:
                raise Unavailable(
                    f"partition {row.partition}: Valkey ends at entry {pseq}, but entry {known}"
                    " was answered or settled: writes were lost; bring the newest copy back, or"
                    " rebuild it with `holdfast rehydrate`",
                    reason="VALKEY_BEHIND",
                )
        await self._compare_streams(wire, metas, rows)

    async def _compare_streams(
        self, wire: Wire, metas: list[Any], rows: list[PartitionRow]
    ) -> None:
        """What is not settled must still be in the stream, right after what is."""
        commands: list[Command] = [
            (
                "XRANGE",
                keys.journal(keys.TAGS[row.partition]),
                f"{row.position}-0",
                "+",
                "COUNT",
                "2",
            )
            for row in rows
        ]
        streams = await wire.execute(commands)
        for row, (_, pseq), entries in zip(rows, metas, streams, strict=True):
            ids = [int(entry[0].split("-")[0]) for entry in entries]
            if int(pseq) > row.position and row.position + 1 not in ids:
                raise Unavailable(
                    f"partition {row.partition}: entry {row.position + 1} is not in the journal;"
                    " `holdfast rehydrate` tells what is lost",
                    reason="JOURNAL_GAP",
                )
            if row.position in ids and row.position_digest:
                raw = raw_of(entries[ids.index(row.position)][1])
                digest = sha256(raw).digest()
                if digest != row.position_digest:
                    raise Unavailable(
                        f"partition {row.partition}: entry {row.position} is not the ledger's;"
                        " `holdfast rehydrate` tells what is lost",
                        reason="JOURNAL_DIFFERS",
                    )

    async def _trust_last_verdict(self, wire: Wire, health: Health, *, because: str) -> None:
        """Without PostgreSQL the last verdict stands, for the same epoch and the same life of the
        server: one that has restarted may have lost what only the ledger can show.
        """
        stored = (await wire.execute([("GET", keys.VERDICT)]))[0]
        verdict: dict[str, Any] = json.loads(stored) if stored else {"epoch": 0, "run_id": ""}
        epoch = int(verdict["epoch"])
        metas = await _metas(wire)
        complete = all(
            found[0] == str(epoch) and int(found[1]) >= seen
            for found, seen in zip(metas, self.seen, strict=True)
        )
        same_life = verdict["run_id"] == health.run_id
        if not (complete and same_life):
            raise Unavailable(
                f"PostgreSQL cannot be asked ({because}) and no earlier verdict stands",
                reason="LEDGER_UNREACHABLE",
            )
        self.epoch = epoch
        logger.warning("gate_open_on_last_verdict", epoch=self.epoch, because=because)


async def _metas(wire: Wire) -> list[Any]:
    """[epoch, pseq] of every partition, in order."""
    return await wire.execute([("HMGET", keys.meta(tag), "epoch", "pseq") for tag in keys.TAGS])
