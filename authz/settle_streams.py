"""The journal's streams in Valkey, as the settler reads and trims them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from authz import keys
from authz.continuity import Found
from runtime.settings import Settings
from runtime.wire import Command, Wire, connect


class Streams:
    """One connection, whose answers are bytes."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @classmethod
    async def connect(cls, settings: Settings) -> Streams:
        """Logs in as the settler; raises what `runtime.wire.connect` raises."""
        assert settings.redis_url is not None, "the supervisor sets HOLDFAST_REDIS_URL"
        return cls(
            await connect(
                settings, settings.redis_url, server="valkey-money", user="settler", text=False
            )
        )

    def close(self) -> None:
        """Closes at once."""
        self._wire.close()

    async def epochs(self) -> set[int]:
        """Every epoch that a partition has; none in an empty Valkey."""
        found = await self._wire.execute([("HGET", keys.meta(tag), "epoch") for tag in keys.TAGS])
        return {int(epoch) for epoch in found if epoch is not None}

    async def begin(self, epoch: int) -> None:
        """Gives the partitions their epoch. What is there stays."""
        commands: list[Command] = []
        for tag in keys.TAGS:
            commands.append(("HSETNX", keys.meta(tag), "pseq", "0"))
            commands.append(("HSETNX", keys.meta(tag), "epoch", str(epoch)))
        await self._wire.execute(commands)

    async def read(self, asked: Iterable[tuple[int, int, int]]) -> list[list[Found]]:
        """For each (partition, position, count) the entry of that position, if it is still there,
        and what follows it: at most one more than `count`.
        """
        streams = await self._wire.execute(
            [
                ("XRANGE", _journal(partition), _id(position), "+", "COUNT", str(count + 1))
                for partition, position, count in asked
            ]
        )
        return [[_found(one) for one in stream] for stream in streams]

    async def trim(self, positions: Mapping[int, int]) -> None:
        """Forgets what is before the positions of these partitions."""
        await self._wire.execute(
            [
                ("XTRIM", _journal(partition), "MINID", "=", _id(position))
                for partition, position in positions.items()
            ]
        )

    async def wait(self, positions: Mapping[int, int], seconds: float) -> None:
        """Until something follows one of these positions, or that long: Valkey says so, and nobody
        has to ask.
        """
        # BLOCK 0 would be for ever.
        block = ("COUNT", "1", "BLOCK", str(max(int(seconds * 1000), 1)))
        journals = [_journal(partition) for partition in positions]
        after = [_id(position) for position in positions.values()]
        await self._wire.execute([("XREAD", *block, "STREAMS", *journals, *after)])


def _journal(partition: int) -> str:
    return keys.journal(keys.TAGS[partition])


def _id(pseq: int) -> str:
    return f"{pseq}-0"


def _found(one: Any) -> Found:
    """An entry of a stream; empty if it is none of ours."""
    name, fields = one
    return name, fields[1] if fields[0] == b"e" else b""
