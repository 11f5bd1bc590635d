"""Named SQL: `sql/queries.sql` holds blocks, each headed by `-- name --` and a description."""

from __future__ import annotations

import re
from pathlib import Path

_HEADING = re.compile(r"^-- ([a-z][a-z0-9_]*) --$", re.MULTILINE)


def load_queries(path: Path) -> dict[str, str]:
    """The statements of a file by name. A name that stands twice is an error."""
    parts = _HEADING.split(path.read_text())
    names, bodies = parts[1::2], parts[2::2]
    assert len(set(names)) == len(names), f"a query name stands twice in {path}"
    return {name: body.strip() for name, body in zip(names, bodies, strict=True)}
