"""What may be called only where it is named here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.sources import PACKAGES, imported, own, tree

#: Banned name → (why, files that may use it). Names are dotted, as they stand in the source.
BANS: dict[str, tuple[str, set[str]]] = {
    "datetime.now": ("time is an argument: take a Clock", set()),
    "datetime.utcnow": ("it has no timezone", set()),
    "datetime.today": ("time is an argument: take a Clock", set()),
    "date.today": ("time is an argument, and a day needs a timezone", set()),
    "time.time": ("time is an argument: take a Clock", {"runtime/devstack/state.py"}),
    "time.time_ns": ("time is an argument: take a Clock", {"runtime/clock.py"}),
    "os.environ": (
        "settings are read once, by the settings classes",
        {"runtime/devstack/environment.py", "runtime/secrets.py", "tools/bootstrap.py"},
    ),
    "os.getenv": ("settings are read once, by the settings classes", set()),
    "os.putenv": ("children get an environment of their own", set()),
    "float": ("money is integers; a double loses cents above 2^53", set()),
    "eval": ("no code from text", set()),
    "exec": ("no code from text", set()),
    "print": ("services log, commands use Output", {"tools/bootstrap.py", "tools/security.py"}),
    "asyncio.get_event_loop": ("take the running loop", set()),
}
#: Modules whose numbers are guessable; secrets and ids come from os.urandom.
BANNED_MODULES = {"random"}
#: Crowds of made-up customers.
GUESSABLE = ("runtime/demo/", "loadtest/")


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an expression, or empty."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def uses(path: Path) -> Iterator[tuple[str, int]]:
    """What a file calls, and which attributes it reads, with the line."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node.lineno
        elif isinstance(node, ast.Attribute):
            yield dotted(node), node.lineno


@pytest.mark.parametrize("name", sorted(BANS))
def test_banned_calls_stand_only_where_they_are_named(name: str) -> None:
    """Clock, environment, doubles and output have one place each; a place that no longer needs
    its exception loses it.
    """
    why, allowed = BANS[name]
    found: set[str] = set()
    for path in own(".py", below=PACKAGES):
        for used, line in uses(path):
            if used == name or ("." in name and used.endswith(f".{name}")):
                assert path.as_posix() in allowed, f"{path}:{line} uses {name}: {why}"
                found.add(path.as_posix())
    assert found == allowed, f"these no longer use {name}: {sorted(allowed - found)}"


def test_nothing_imports_guessable_randomness() -> None:
    """Ids, codes and secrets come from the operating system; tests inject their own bytes."""
    for path in own(".py", below=PACKAGES):
        if not path.as_posix().startswith(GUESSABLE):
            assert not set(imported(path)) & BANNED_MODULES, path
