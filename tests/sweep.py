"""Looks for what was told to a mesh wherever it keeps bytes: stores, logs, files, command lines."""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import asyncpg
import psutil
from redis.asyncio import Redis

from accounts.vault.pan import is_pan
from runtime.devstack.supervisor import Devstack

#: Folders of an installation that are secrets by themselves.
KEY_FOLDERS = ("secrets", "pki")
#: Shorter texts occur by chance.
LENGTH_MIN = 8
#: No key of ours is shorter.
KEY_LENGTH_MIN = 16
_KEY_ID = re.compile(r"[0-9a-f]{12}-[0-9a-f]{16}")
#: In one piece, or in groups as on a card; not within something hexadecimal.
_DIGITS = re.compile(
    rb"(?<![0-9A-Fa-f])(?:[0-9]{15,19}|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}"
    rb"|[0-9]{4}([ -])[0-9]{6}\2[0-9]{5})(?![0-9A-Fa-f])"
)
#: As Python's `email` makes it.
_BOUNDARY = re.compile(rb"={15}[0-9]{19}==")


def forms(value: str | bytes) -> dict[bytes, str]:
    """How a value may be written, and what that encoding is called."""
    raw = value.encode() if isinstance(value, str) else value
    found = {"clear": raw, "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode()}
    if isinstance(value, str) and value.isascii():
        found["UTF-16"] = value.encode("utf-16-le")
        found["reversed"] = raw[::-1]
    for offset in range(3):
        # Base64 of something longer that has it in the middle: what depends on neighbours is cut.
        head, tail = (0, 2, 3)[offset], (len(raw) + offset) % 3
        for name, encode in (("base64", b64encode), ("base64url", urlsafe_b64encode)):
            text = encode(b"\x00" * offset + raw).rstrip(b"=")
            found[f"{name}+{offset}"] = text[head : len(text) - (1 if tail else 0)]
    # Many are the same twice.
    return {text: name for name, text in reversed(found.items())}


def leaks(
    places: Mapping[str, bytes],
    needles: Mapping[str, str | bytes],
    *,
    only: Sequence[str] = (),
) -> str:
    """Which needle stands where, and how it is written; `only`: in these forms."""
    found = []
    for name, value in needles.items():
        assert len(value) >= LENGTH_MIN, f"{name} is too short to be looked for"
        for text, form in forms(value).items():
            if only and form not in only:
                continue
            found += [
                f"{name} ({form}) in {place}" for place, data in places.items() if text in data
            ]
    return "\n".join(found)


def card_numbers(places: Mapping[str, bytes]) -> list[str]:
    """Runs of 15 to 19 digits that are card numbers: issuers' first digits, and the check digit.
    Random ones, between the parts of mails, are not.
    """
    found = []
    for place, data in places.items():
        for match in _DIGITS.finditer(_BOUNDARY.sub(b"", data)):
            digits = re.sub(rb"[ -]", b"", match[0]).decode()
            if digits[0] in "3456" and is_pan(digits):
                found.append(f"{digits[:6]}… in {place}")
    return found


async def rows(mesh: Devstack) -> bytes:
    """A logical backup of PostgreSQL: every row of every table, as text; bytes are hexadecimal."""
    owner = await asyncpg.connect(mesh.owner_dsn)
    try:
        tables = await owner.fetch(
            "SELECT format('%I.%I', table_schema, table_name) AS name"
            " FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
            " AND table_schema NOT IN ('pg_catalog', 'information_schema')"
        )
        assert len(tables) > 20
        texts = []
        for table in tables:
            found = await owner.fetch(f"SELECT t::text AS row FROM {table['name']} AS t")
            texts += [f"{table['name']}: {row['row']}" for row in found]
        # Logged statements and their parameters would be in here.
        for one in await owner.fetch("SELECT query FROM pg_stat_activity"):
            texts.append(f"pg_stat_activity: {one['query']}")
        await owner.execute("CHECKPOINT")
    finally:
        await owner.close()
    return "\n".join(texts).encode()


async def keys(valkey: Redis) -> bytes:
    """Every key of a Valkey with all that it holds."""
    found: list[Any] = []
    readers: dict[bytes, Any] = {
        b"string": valkey.get,
        b"hash": valkey.hgetall,
        b"set": valkey.smembers,
        b"list": lambda name: valkey.lrange(name, 0, -1),
        b"zset": lambda name: valkey.zrange(name, 0, -1, withscores=True),
        b"stream": valkey.xrange,
    }
    async for name in valkey.scan_iter(count=1000):
        kind = await valkey.type(name)
        found.append(
            (name, await readers[kind if isinstance(kind, bytes) else kind.encode()](name))
        )
    return b"\n".join(_flat(found))


def _flat(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, str):
        yield value.encode("utf-8", "surrogateescape")
    elif isinstance(value, Mapping):
        yield from _flat(list(value.items()))
    elif isinstance(value, Iterable):
        for one in value:
            yield from _flat(one)


def files(mesh: Devstack) -> dict[str, bytes]:
    """Every file of the installation but its keys: the servers' data as it lies on the disk with
    write-ahead log and append-only file, logs, Envoy's configuration, documents.
    """
    home = mesh.settings.home
    found = {}
    for folder in sorted(one for one in home.iterdir() if one.name not in KEY_FOLDERS):
        real = folder.resolve()
        paths = [real] if real.is_file() else sorted(real.rglob("*"))
        for path in paths:
            # Programs of the servers that root keeps are none of ours.
            if path.is_file() and not path.is_symlink() and "bin" not in path.parts:
                found[f"{folder.name}/{path.relative_to(real)}"] = path.read_bytes()
    return found


def processes() -> dict[str, bytes]:
    """Command line and environment of every process below this one."""
    found = {}
    for one in psutil.Process().children(recursive=True):
        try:
            told = [*one.cmdline(), *one.environ().values()]
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
        found[f"process {one.pid} ({one.name()})"] = "\n".join(told).encode()
    assert found
    return found


def key_material(mesh: Devstack) -> dict[str, str | bytes]:
    """The installation's own secrets: keys of rings, logins, and private keys."""
    found: dict[str, str | bytes] = {}
    for folder in KEY_FOLDERS:
        for path in sorted((mesh.settings.home / folder).rglob("*")):
            if not path.is_file() or path.suffix == ".yaml":
                continue
            long = (one for one in _secrets(path.read_text()) if len(one) >= KEY_LENGTH_MIN)
            for number, text in enumerate(long):
                found[f"{folder}/{path.name} #{number}"] = text
                with suppress(ValueError):
                    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
                    found[f"{folder}/{path.name} #{number}, bytes"] = raw
    assert len(found) > 10
    return found


def _secrets(text: str) -> Iterator[str]:
    if "PRIVATE KEY" in text:
        body = text.partition("PRIVATE KEY-----")[2].partition("-----END")[0]
        yield from (line for line in body.split() if len(line) > 40)
    elif "-----BEGIN" not in text:
        try:
            yield from _strings(json.loads(text))
        except ValueError:
            yield text.strip()


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        # What was sealed names its key.
        yield from () if _KEY_ID.fullmatch(value) else (value,)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
