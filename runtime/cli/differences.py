"""Files of differences: what `holdfast reconcile --csv` writes."""

from __future__ import annotations

import csv
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from runtime.cli.output import CliError


def difference_writer(path: Path | None, stack: ExitStack, kind: Any) -> Callable[[Any], None]:
    """Writes each difference, a dataclass of this kind, to the file, if there is one."""
    if path is None:
        return lambda _: None
    try:
        file = stack.enter_context(path.open("w", encoding="utf-8", newline=""))
    except OSError as error:
        raise CliError(f"cannot write {path}: {error.strerror}") from None
    writer = csv.DictWriter(file, [field.name for field in fields(kind)])
    writer.writeheader()
    return lambda difference: writer.writerow(asdict(difference))
