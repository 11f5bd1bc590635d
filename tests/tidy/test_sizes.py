"""How long things may be. Long files are read in pieces, and pieces are what gets understood."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.tidy.sources import PACKAGES, own, text, tree

#: Aim for 300; nothing is longer than this.
MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
LUA_LINES_MAX = 135
#: `<noun>_service.proto` holds every RPC of a service with its request and response, each element
#: with its comment: the authorizer's needs about 280, and splitting one service is worse.
PROTO_LINES_MAX = 400
LINE_CHARACTERS_MAX = 100


def lines(path: Path) -> int:
    """Number of lines of a file."""
    return len(text(path).splitlines())


def test_modules_are_short() -> None:
    """No Python module exceeds the limit, tests included."""
    long = {str(path): lines(path) for path in own(".py") if lines(path) > MODULE_LINES_MAX}
    assert not long


def test_functions_are_short() -> None:
    """No function outside of tests exceeds the limit."""
    for path in own(".py", below=PACKAGES):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                length = node.end_lineno - node.lineno + 1
                assert length <= FUNCTION_LINES_MAX, f"{path}: {node.name} has {length} lines"


def test_scripts_and_protos_are_short() -> None:
    """A Lua script blocks everyone while it runs, and is read whole; a proto is read by clients."""
    for path in own(".lua"):
        assert lines(path) <= LUA_LINES_MAX, path
    for path in own(".proto"):
        assert lines(path) <= PROTO_LINES_MAX, path


def test_lines_are_short() -> None:
    """Lines of SQL, Lua and protos end where Python's do (ruff looks after Python)."""
    for path in own(".sql", ".lua", ".proto"):
        for number, line in enumerate(text(path).splitlines(), 1):
            assert len(line) <= LINE_CHARACTERS_MAX, f"{path}:{number} has {len(line)} characters"
