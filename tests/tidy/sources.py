"""The text that the house rules are about: every file of the project, parsed once."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Packages that are processes of the mesh. None imports another.
SERVICES = ("authz", "accounts", "payments", "gateway", "notify", "stats")
#: gRPC services that Holdfast calls and its users implement.
IMPLEMENTED_BY_OTHERS = frozenset({"holdfast.authz.v1.ExternalDecisionService"})
#: Folders of our own Python that is not a test.
PACKAGES = ("runtime", *SERVICES, "loadtest", "tools")
#: Written by others or by a generator.
FOREIGN = ("gen/", "third_party/", "requirements/", "LICENSE")


@cache
def files() -> tuple[Path, ...]:
    """Every file that is or may be committed, relative to the root."""
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = subprocess.run(
        [*command, "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = (Path(name) for name in listed.stdout.split("\0") if name)
    return tuple(sorted(path for path in set(found) if (ROOT / path).is_file()))


def own(*suffixes: str, below: tuple[str, ...] = ()) -> Iterator[Path]:
    """Files that people write, with one of these suffixes, below one of these folders."""
    for path in files():
        name = path.as_posix()
        if name.startswith(FOREIGN) or (suffixes and path.suffix not in suffixes):
            continue
        if below and not name.startswith(tuple(f"{folder}/" for folder in below)):
            continue
        yield path


@cache
def text(path: Path) -> str:
    """Content of one file; empty if it is not text."""
    try:
        return (ROOT / path).read_text()
    except UnicodeDecodeError:
        return ""


@cache
def tree(path: Path) -> ast.Module:
    """A Python file, parsed."""
    return ast.parse(text(path), filename=str(path))


def strings(path: Path) -> Iterator[str]:
    """Every string constant of a Python file."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def imported(path: Path) -> Iterator[str]:
    """Modules that a Python file imports, wherever the import stands; `from a import b` gives
    `a.b` too, which may be a module.
    """
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module(path: Path) -> str:
    """`authz/hold.py` → `authz.hold`."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")
